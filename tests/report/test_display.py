"""What is shown lies where the patient has it, and what is kept of it can be read back."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from PIL import Image

from polyscan.geometry import FLIP, matrix_of
from polyscan.report.display import Display
from polyscan.report.sheet import mask_sheet, scan_sheet


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_axes_run_left_back_and_up_whatever_those_of_the_scan(order, signs):
    """Each voxel shows, at its place by the affine, the coordinate of that place."""
    affine = np.zeros((4, 4))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[axis, column] = sign * (1.0, 2.0, 3.0)[column]
    affine[3, 3] = 1
    points = np.stack(np.meshgrid(*map(np.arange, (5, 6, 7)), indexing="ij"), -1) @ affine[:3, :3].T
    grid = MetaTensor(torch.zeros(1, 5, 6, 7), affine=torch.from_numpy(affine))
    display = Display(grid, 10**6)
    lps = FLIP @ display.affine
    assert (np.diag(lps)[:3] > 0).all()
    voxels = np.stack(np.meshgrid(*map(np.arange, display.shape), indexing="ij"), -1)
    for axis in range(3):
        shown = display.image(MetaTensor(torch.from_numpy(points[None, ..., axis]), affine=grid.affine))
        np.testing.assert_allclose(shown, (voxels @ display.affine[:3, :3].T + display.affine[:3, 3])[..., axis])


def test_fewer_voxels_lie_at_the_same_places_and_lose_no_label():
    values = torch.arange(40.0)[:, None, None].expand(1, 40, 30, 10).clone()
    values[:, 36:] = torch.nan
    grid = MetaTensor(values, affine=torch.diag(torch.tensor([1.0, 1, 3, 1], dtype=torch.float64)))
    display = Display(grid, 2000)
    assert np.prod(display.shape) <= 2000
    assert display.shape[2] == 10  # the coarse axis is left as it is
    shown = display.image(grid)
    x = display.affine[0, 0] * np.arange(display.shape[0]) + display.affine[0, 3]
    seen = np.isfinite(shown[:, 0, 0])
    np.testing.assert_allclose(shown[seen, 0, 0], x[seen], atol=1.01)
    assert not seen.all()
    mask = torch.zeros(1, 40, 30, 10)
    mask[0, 20, 11, 4] = 3
    assert display.labels(MetaTensor(mask, affine=grid.affine)).max() == 3


def test_before_is_where_the_header_had_the_scan(tmp_path):
    """The prepared scan, laid back by its transform, has the values of the scan itself at the scan's own points."""

    def scan(points):
        return np.exp(-(((points - [6, -4, 8]) / [12, 18, 15]) ** 2).sum(-1))

    transform = sitk.Euler3DTransform((5.0, 0, -3), 0.1, -0.05, 0.2, (4.0, -6.0, 3.0))
    sitk.WriteTransform(transform, str(tmp_path / "t.tfm"))
    matrix = matrix_of(transform)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -40
    grid = np.stack(np.meshgrid(*[np.arange(41)] * 3, indexing="ij"), -1) @ affine[:3, :3] + affine[:3, 3]
    moved = (grid * [-1, -1, 1]) @ matrix[:3, :3].T + matrix[:3, 3]
    prepared = MetaTensor(torch.from_numpy(scan(moved)[None]), affine=torch.from_numpy(affine))
    display = Display(prepared, 10**6)
    before = display.moved(prepared, tmp_path / "t.tfm")[12:29, 12:29, 20]
    voxels = np.stack(np.meshgrid(*map(np.arange, display.shape), indexing="ij"), -1)[12:29, 12:29, 20]
    lps = FLIP @ display.affine
    at = voxels @ lps[:3, :3].T + lps[:3, 3]
    np.testing.assert_allclose(before, scan(at), atol=0.01)
    assert np.abs(display.image(prepared)[12:29, 12:29, 20] - scan(at)).max() > 0.2


def test_sheets_keep_slices_apart_and_within_their_size():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 5, (9, 13, 7)).astype(np.uint8)
    np.testing.assert_array_equal(cut(mask_sheet(mask), mask.shape), mask)
    values = rng.normal(size=(61, 50, 23)).astype(np.float32).cumsum(0)
    values[:5] = np.nan
    sheet = scan_sheet("T1", values, 10**6)
    np.testing.assert_array_equal(cut(sheet["outside"], values.shape) > 0, np.isnan(values))
    levels = cut(sheet, values.shape)[5:]
    told = np.interp(levels, sheet["levels"], sheet["values"])
    inside = (values[5:] > sheet["values"][1]) & (values[5:] < sheet["values"][2])
    window = sheet["values"][2] - sheet["values"][1]
    assert np.abs(told - values[5:])[inside].mean() < 0.02 * window
    noise = rng.normal(size=(61, 50, 23)).astype(np.float32)
    small, large = (len(decoded(scan_sheet("T1", noise, limit))) for limit in (30_000, 10**6))
    assert small <= 30_000 < large


def decoded(sheet):
    return base64.b64decode(sheet["uri"].partition(",")[2])


def cut(sheet, shape):
    """The volume (x, y, z) of a sheet, as the page cuts it."""
    picture, (width, height) = np.asarray(Image.open(io.BytesIO(decoded(sheet)))), sheet["tile"]
    rows = [(z // sheet["across"] * height, z % sheet["across"] * width) for z in range(shape[2])]
    return np.stack([picture[top : top + shape[1], left : left + shape[0]].T for top, left in rows], -1)
