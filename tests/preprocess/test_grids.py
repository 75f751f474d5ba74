"""Grids that scans share, and what keeps a world-space result the same however a scan is stored."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings, strategies as st
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import from_sitk, to_sitk
from polyscan.preprocess.grids import common_grid, moved
from polyscan.preprocess.resample import anti_alias, resample, widen_point_spread


def image(shape=(10, 12, 8), spacing=(2.0, 2, 3), origin=(-10.0, 5, 7), values=None) -> MetaTensor:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    data = torch.zeros(1, *shape) if values is None else torch.as_tensor(values)[None]
    return MetaTensor(data.float(), affine=torch.from_numpy(affine), meta={"unit": "arbitrary"})


def linear(shape, affine):
    index = np.indices(shape).reshape(3, -1).T
    world = index @ affine[:3, :3].T + affine[:3, 3]
    return (world @ [1.0, 2.0, -1.5]).reshape(shape)


def extent(grid):
    affine, shape = np.asarray(grid.affine), np.array(grid.shape[1:])
    return affine[:3, :3] @ (-0.5 * np.ones(3)) + affine[:3, 3], affine[:3, :3] @ (shape - 0.5) + affine[:3, 3]


@pytest.mark.parametrize(
    ("resolution", "spacing"),
    [
        ("reference", (2, 2, 3)),
        ("finest", (1, 2, 3)),
        ("coarsest", (2, 4, 6)),
        (1.5, (1.5,) * 3),
        ((1, 2, 2), (1, 2, 2)),
    ],
)
def test_resolution(resolution, spacing):
    images = {"T1": image(), "T2": image((20, 6, 4), (1, 4, 6))}
    grid = common_grid(images, "T1", {}, resolution=resolution)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(grid.affine)[:3, :3], axis=0), spacing)
    low, high = extent(grid)
    np.testing.assert_allclose(low, extent(images["T1"])[0], atol=max(spacing) / 2)
    np.testing.assert_allclose(high, extent(images["T1"])[1], atol=max(spacing) / 2)


def test_fields_of_view():
    images = {"CT": image(), "PET": image(origin=(-4.0, 5, 1))}
    union, both = (common_grid(images, "CT", {}, field_of_view=choice) for choice in ("union", "intersection"))
    np.testing.assert_allclose(extent(union), [[-11, 4, -0.5], [15, 28, 29.5]])
    np.testing.assert_allclose(extent(both), [[-5, 4, 5.5], [9, 28, 23.5]])
    with pytest.raises(PolyscanError, match="no field of view in common"):
        common_grid({"CT": image(), "PET": image(origin=(900.0, 0, 0))}, "CT", {}, field_of_view="intersection")
    with pytest.raises(PolyscanError, match="Resolution 'fine' is not known"):
        common_grid(images, "CT", {}, resolution="fine")


def test_native_moves_the_affine_and_no_voxel():
    scan = image(values=np.random.default_rng(0).normal(size=(10, 12, 8)))
    transform = sitk.Euler3DTransform((3.0, 2, 1), 0.1, -0.2, 0.3, (5.0, -4, 3))
    put = moved(scan, transform)
    assert torch.equal(put.as_tensor(), scan.as_tensor())
    point = np.array([1.0, 2, 3])  # of the reference, LPS: where the moved scan must show what the scan has elsewhere
    flip = np.diag([-1.0, -1, 1])
    there = flip @ np.array(transform.TransformPoint((flip @ point).tolist()))
    index = np.linalg.inv(np.asarray(scan.affine)) @ [*there, 1]
    again = np.linalg.inv(np.asarray(put.affine)) @ [*point, 1]
    np.testing.assert_allclose(index, again, atol=1e-9)


@given(
    axes=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_storage_order_does_not_change_the_result(axes, flips, seed):
    """Any permutation and flip of a scan's axes gives the same values in world space."""
    scan = image(values=np.random.default_rng(seed).normal(size=(10, 12, 8)))
    stored = nibabel.Nifti1Image(scan[0].numpy(), np.asarray(scan.affine)).as_reoriented(
        np.stack([axes, flips], axis=1).astype(float)
    )
    other = MetaTensor(torch.from_numpy(np.array(stored.dataobj))[None], affine=torch.from_numpy(stored.affine))
    grid = image((9, 9, 9), (2.5, 2, 2), (-9.0, 6, 8))
    transform = sitk.Euler3DTransform((0.0, 0, 0), 0.05, 0.02, -0.1, (1.0, -2, 0.5))
    first, second = (resample(each, grid, transform).as_tensor().numpy() for each in (scan, other))
    np.testing.assert_array_equal(np.isfinite(first), np.isfinite(second))
    np.testing.assert_allclose(first, second, atol=1e-4)


@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 8)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
)
@settings(max_examples=50, deadline=None)
def test_affines_survive_the_way_to_itk_and_back(angles, spacing, origin):
    from scipy.spatial.transform import Rotation

    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles).as_matrix() * spacing
    affine[:3, 3] = origin
    scan = MetaTensor(torch.rand(1, 3, 4, 5), affine=torch.from_numpy(affine), meta={"unit": "HU"})
    back = from_sitk(to_sitk(scan))
    np.testing.assert_allclose(np.asarray(back.affine), affine, atol=1e-9)
    assert torch.equal(back.as_tensor(), scan.as_tensor())


@given(shift=st.tuples(*[st.floats(-6, 6)] * 3), angle=st.floats(-0.3, 0.3))
@settings(max_examples=20, deadline=None)
def test_a_transform_and_its_inverse_give_the_scan_back(shift, angle):
    scan = image((16, 16, 16), (2, 2, 2))
    scan = image((16, 16, 16), (2, 2, 2), values=linear((16, 16, 16), np.asarray(scan.affine)))
    transform = sitk.Euler3DTransform((0.0, -20, 20), 0.0, 0.0, angle, shift)
    there = resample(scan, scan, transform)
    back = resample(there, scan, transform.GetInverse())[0].numpy()
    seen = np.isfinite(back)
    inner = np.zeros_like(seen)
    inner[6:-6, 6:-6, 6:-6] = True
    # A linear image survives interpolation; near the edge of what was seen the spline meets values filled in.
    np.testing.assert_allclose(back[seen & inner], scan[0].numpy()[seen & inner], atol=2.0)


def test_outside_the_field_of_view_is_nan_and_inside_never_beyond_its_range():
    scan = image(values=np.where(np.indices((10, 12, 8))[0] < 5, -1000.0, 60.0))
    out = resample(scan, image((30, 30, 30), (1, 1, 1), (-15.0, 0, 0)))[0].numpy()
    seen = np.isfinite(out)
    assert 0 < seen.mean() < 1
    assert out[seen].min() >= -1000
    assert out[seen].max() <= 60


def test_point_spread_is_widened_to_what_is_asked():
    point = np.zeros((41, 41, 41))
    point[20, 20, 20] = 1.0
    sharp = image((41, 41, 41), (1, 1, 1), values=point)
    wide = widen_point_spread(widen_point_spread(sharp, 0.0, 3.0), 3.0, 6.0)[0].numpy()
    line = wide[:, 20, 20]
    above = np.flatnonzero(line >= line.max() / 2)
    assert above[-1] - above[0] + 1 == pytest.approx(6, abs=1.01)
    assert wide.sum() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("choice", ["reference", "union"])
@pytest.mark.parametrize("spacing", [1.0, 1.7, (0.9, 2.5, 4.0)])
def test_a_grid_of_millimetres_lies_the_same_for_a_flipped_reference(choice, spacing):
    scan, other = image((11, 12, 9), (2, 2, 3.1)), image((9, 9, 9), (2.3, 2, 2), (-8.0, 6, 8))
    flipped = np.asarray(scan.affine).copy()
    flipped[:3, :3] *= -1
    flipped[:3, 3] += np.asarray(scan.affine)[:3, :3] @ (np.array(scan.shape[1:]) - 1)
    turned = MetaTensor(torch.zeros(scan.shape), affine=torch.from_numpy(flipped))
    one, two = (
        np.sort(extent(common_grid({"T1": a, "T2": other}, "T1", {}, resolution=spacing, field_of_view=choice)), 0)
        for a in (scan, turned)
    )
    np.testing.assert_allclose(one, two, atol=1e-9)
    if choice == "union":  # nothing of any scan is lost
        for each in (scan, other):
            assert (one[0] <= extent(each)[0] + 1e-9).all()
            assert (one[1] >= extent(each)[1] - 1e-9).all()


def test_the_references_own_voxels_are_kept_in_a_union():
    scan, other = image(values=np.random.default_rng(0).normal(size=(10, 12, 8))), image(origin=(-14.7, 6.1, 3.3))
    grid = common_grid({"T1": scan, "T2": other}, "T1", {}, field_of_view="union")
    shift = np.linalg.inv(np.asarray(grid.affine)) @ np.asarray(scan.affine)
    np.testing.assert_allclose(shift[:3, 3], np.rint(shift[:3, 3]), atol=1e-6)
    assert np.isfinite(resample(scan, grid)).sum() == scan.numel()


def test_integers_are_smoothed_as_numbers():
    values = np.random.default_rng(0).integers(0, 4, (16, 16, 16)).astype(np.int16)
    stored = MetaTensor(torch.from_numpy(values[None]), affine=torch.eye(4, dtype=torch.float64))
    smooth, expected = (anti_alias(each, [3, 3, 3]) for each in (stored, stored.float()))
    torch.testing.assert_close(smooth.as_tensor(), expected.as_tensor())
    assert float(smooth.mean()) == pytest.approx(values.mean(), abs=0.05)
