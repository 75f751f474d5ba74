"""Volumes give the values and slopes that an independent interpolation gives."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from polyscan.registration import volume as volume_module
from polyscan.registration.volume import Volume, trilinear


def volume(shape, seed=0, spacing=(1.0, 1.0, 1.0)) -> Volume:
    values = torch.from_numpy(np.random.default_rng(seed).random(shape, dtype=np.float32))
    return Volume.of(values, np.column_stack([np.diag(spacing), np.zeros(3)]))


@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 8, 7), (9, 8, 1)])
def test_linear_interpolation(shape):
    image = volume(shape)
    last = np.array(shape) - 1.0
    zyx = np.random.default_rng(1).random((3, 200)) * last[:, None]
    values, _ = trilinear(image, torch.from_numpy(zyx[::-1].astype(np.float32).copy()))
    expected = ndimage.map_coordinates(image.values.numpy(), zyx, order=1)
    assert np.allclose(values.numpy(), expected, atol=1e-4)


def test_slopes_are_those_of_the_values():
    image = volume((9, 8, 7))
    index = torch.from_numpy(np.random.default_rng(2).random((3, 100)) * np.array([[5.9], [6.9], [7.9]])).float()
    index = index.floor() + 0.1 + 0.8 * (index - index.floor())  # values bend at voxels
    _, slopes = trilinear(image, index)
    for axis in range(3):
        step = torch.zeros(3, 1)
        step[axis] = 0.05
        (ahead, _), (behind, _) = trilinear(image, index + step), trilinear(image, index - step)
        assert torch.allclose(slopes[axis], (ahead - behind) / 0.1, atol=1e-3)


def test_nan_outside_and_beside_nan():
    image = volume((5, 5, 5))
    image.values[2, 2, 2] = torch.nan
    index = torch.tensor([[2.5, 2.5, 2.5], [0.5, 0.5, 0.5], [-0.1, 2.0, 2.0], [4.1, 1.0, 1.0]]).T
    values, _ = trilinear(image, index)
    assert torch.isnan(values).tolist() == [True, False, True, True]


def test_blocks_are_averaged_and_stay_where_they_are():
    image = sitk.GetImageFromArray(np.random.default_rng(3).random((12, 10, 9), dtype=np.float32))
    image.SetSpacing((1.0, 2.0, 1.1))
    image.SetOrigin((3.0, -4.0, 5.0))
    image.SetDirection(np.array(sitk.Euler3DTransform((0.0, 0, 0), 0.2, 0.3, 0.4).GetMatrix()).tolist())
    small, expected = Volume.of_image(image).shrunk(2.0), sitk.BinShrink(image[:8, :, :], (2, 1, 2))
    assert np.allclose(small.values.numpy(), sitk.GetArrayFromImage(expected), atol=1e-5)
    there = expected.TransformIndexToPhysicalPoint((1, 2, 3))
    assert np.allclose(small.to_point @ [1, 2, 3, 1], there, atol=1e-6)


def test_means_and_smoothing_leave_out_nan():
    values = torch.ones(8, 8, 8)
    values[:4] = torch.nan
    image = Volume.of(values, np.eye(3, 4))
    for made in (image.shrunk(2.0), image.smoothed(np.inf)):
        finite = made.values[torch.isfinite(made.values)]
        assert len(finite) == made.values.numel() / 2
        assert torch.allclose(finite, torch.ones(()))


@pytest.mark.parametrize("outside", [0.0, torch.nan, torch.inf])
def test_slabs_are_as_the_whole(monkeypatch, outside):
    """In any order in memory."""
    values = torch.rand(13, 8, 6)
    values[values < 0.3] = outside
    monkeypatch.setattr(volume_module, "_QUANTILES_FROM", 50)
    expected = Volume.of(values, np.eye(3, 4))
    assert round(expected.finite * values.numel()) == np.isfinite(values.numpy()).sum()
    for slab in (volume_module._SLAB, 1, 100):
        monkeypatch.setattr(volume_module, "_SLAB", slab)
        for given in (values, values.permute(2, 1, 0).contiguous().permute(2, 1, 0)):
            found = Volume.of(given, np.eye(3, 4))
            for one, other in ((found, expected), (found.shrunk(2.0), expected.shrunk(2.0))):
                assert one.finite == other.finite
                assert one.span == other.span
                assert torch.equal(one.table, other.table)
                assert one.values.allclose(other.values, equal_nan=True, atol=0, rtol=0)
            assert found.problem(700) == expected.problem(700)


def test_grays_rise_from_nought_to_one_and_their_rate_is_right():
    image = volume((20, 20, 20))
    values = torch.linspace(-0.2, 1.2, 50)
    grays, rates = image.gray(values)
    assert grays[0] == 0
    assert grays[-1] == pytest.approx(1, abs=1e-3)
    assert (grays.diff() >= 0).all()
    middle = torch.tensor([0.3001, 0.5003, 0.7007])
    ahead, behind = image.gray(middle + 1e-4)[0], image.gray(middle - 1e-4)[0]
    assert torch.allclose(image.gray(middle)[1], (ahead - behind) / 2e-4, rtol=0.05)
    assert rates[0] == 0


def test_thick_slices_are_not_smoothed_into_each_other():
    values = torch.zeros(5, 5, 5)
    values[2, 2, 2] = 64.0
    to_point = np.column_stack([np.diag([0.7, 0.7, 3.0]), np.zeros(3)])
    made = Volume.of(values, to_point).smoothed(2.0).values
    assert made.sum() == made[2].sum() == 64
    assert made[2, 2].tolist() == [0, 8, 16, 8, 0]
