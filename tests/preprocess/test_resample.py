from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.preprocess.resample import anti_alias, resample


def image(values, spacing=1.0, origin=(0.0, 0, 0)) -> MetaTensor:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    return MetaTensor(torch.as_tensor(np.asarray(values, dtype=np.float32))[None], affine=torch.from_numpy(affine))


def smooth(shape=(20, 22, 24)) -> np.ndarray:
    x, y, z = np.indices(shape)
    return np.sin(x / 5) + np.cos(y / 6) + 0.1 * z


def test_own_grid_is_untouched():
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    values[0, 0, 0] = np.nan
    out = resample(image(values), image(np.zeros((5, 6, 7))))
    np.testing.assert_array_equal(out[0].numpy(), values)


def test_shift_by_a_transform_and_nan_outside():
    values = smooth()
    shift = sitk.TranslationTransform(3, (-3.0, 0.0, 0.0))  # RAS x + 3 is LPS x - 3
    out = resample(image(values), image(np.zeros(values.shape)), shift)[0].numpy()
    np.testing.assert_allclose(out[2:14, 3:-3, 3:-3], values[5:17, 3:-3, 3:-3], atol=2e-3)
    assert np.isnan(out[17:]).all()
    assert np.isfinite(out[:17]).all()


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("flip", [(), (0,), (0, 2)])
def test_order_and_direction_of_axes_do_not_matter(axes, flip):
    """The same scan stored with its axes permuted and flipped lies at the same place and gives the same result."""
    values = smooth()
    affine = np.eye(4)
    stored, turned = np.transpose(values, axes), np.eye(4)
    turned[:3, :3] = affine[:3, :3][:, list(axes)]
    for axis in flip:
        stored = np.flip(stored, axis)
        turned[:3, 3] += turned[:3, axis] * (stored.shape[axis] - 1)
        turned[:3, axis] *= -1
    moved = MetaTensor(torch.from_numpy(stored.astype(np.float32).copy())[None], affine=torch.from_numpy(turned))
    grid = image(np.zeros((9, 9, 9)), 1.5, (2, 3, 4))
    plain = resample(image(values), grid)[0].numpy()
    np.testing.assert_allclose(resample(moved, grid)[0].numpy(), plain, atol=1e-4)


def test_does_not_ring_beyond_its_own_range():
    values = np.full((16, 16, 16), -1000.0)
    values[6:10, 6:10, 6:10] = 1000
    out = resample(image(values), image(np.zeros((30, 30, 30)), 0.5, (0.2, 0.3, 0.1)))
    assert float(out.min()) >= -1000
    assert float(out.max()) <= 1000


def test_nan_inside_stays_where_it_is():
    values = smooth()
    values[:, :, :10] = np.nan
    out = resample(image(values), image(np.zeros(values.shape), 1.0, (0.4, 0.4, 0.4)))[0].numpy()
    assert np.isnan(out[:18, :20, :9]).all()
    assert np.isfinite(out[:18, :20, 11:22]).all()
    np.testing.assert_allclose(out[5:15, 5:15, 14:20].mean(), values[5:16, 5:16, 14:21].mean(), atol=0.1)


def test_labels_stay_labels():
    values = np.zeros((12, 12, 12))
    values[3:9, 3:9, 3:9] = 4
    values[5:7, 5:7, 5:7] = 1
    label = MetaTensor(image(values).as_tensor().to(torch.uint8), affine=torch.eye(4))
    out = resample(label, image(np.zeros((24, 24, 24)), 0.5), label=True)
    assert out.dtype == torch.uint8
    assert set(torch.unique(out.as_tensor()).tolist()) == {0, 1, 4}
    assert abs(float((out == 4).sum()) / 8 - float((label == 4).sum())) < 60


def test_anti_aliasing_keeps_the_mean_and_removes_stripes():
    stripes = np.indices((32, 32, 32))[0] % 2.0
    out = anti_alias(image(stripes), (4, 1, 1))[0].numpy()
    np.testing.assert_allclose(out[8:-8], 0.5, atol=0.02)
    assert np.array_equal(anti_alias(image(stripes), (1, 1, 1))[0].numpy(), stripes.astype(np.float32))


def test_anti_aliasing_leaves_nan_out():
    values = np.full((20, 20, 20), 7.0)
    values[:10] = np.nan
    out = anti_alias(image(values), (3, 3, 3))[0].numpy()
    assert np.isnan(out[:10]).all()
    np.testing.assert_allclose(out[10:], 7, rtol=1e-5)


def test_what_holds_nothing_stays_nothing():
    image = MetaTensor(torch.full((1, 4, 5, 6), float("nan")), affine=torch.eye(4))
    grid = MetaTensor(torch.zeros(1, 3, 3, 3), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    assert resample(image, grid).isnan().all()
    assert resample(image, grid).shape == grid.shape


def test_a_sheared_image_in_memory_is_where_its_affine_says():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 2] = 0.4  # each slice lies 0.4 mm further along x
    x, _, z = torch.meshgrid(*(torch.arange(24.0),) * 3, indexing="ij")
    image = MetaTensor((x + 0.4 * z)[None], affine=affine)  # its value is its place along x
    within = torch.eye(4, dtype=torch.float64)
    within[:3, 3] = torch.tensor([14.0, 10, 10])  # far from the borders, where splines ring
    grid = MetaTensor(torch.zeros(1, 4, 4, 4), affine=within)
    place = 14 + torch.arange(4.0)[:, None, None].expand(4, 4, 4)
    torch.testing.assert_close(resample(image, grid)[0].as_tensor(), place, atol=0.02, rtol=0)
    label = resample(MetaTensor((image.as_tensor() > 15).to(torch.uint8), affine=affine), grid, label=True)
    assert label.dtype == torch.uint8
    assert set(label.unique().tolist()) == {0, 1}
