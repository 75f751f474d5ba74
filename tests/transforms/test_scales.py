"""Scans that keep their own grids, and pictures, as bundles read them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import RandAffined
from PIL import Image

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.preprocess import PackScalesd
from polyscan.transforms import LoadPictured, LoadScalesd

ENTERS = {"CT": 0, "PET": 1}


@pytest.fixture
def files(tmp_path):
    """A CT of 2 mm and a PET of 4 mm over the same field, whose values are their z coordinates in millimetres."""
    made = {}
    for name, spacing, shape in (("CT", 2.0, (16, 16, 16)), ("PET", 4.0, (8, 8, 8))):
        affine = torch.diag(torch.tensor([spacing] * 3 + [1.0], dtype=torch.float64))
        affine[:3, 3] = spacing / 2
        z = (torch.arange(shape[2]) + 0.5) * spacing
        made[name] = str(tmp_path / f"{name}.nii.gz")
        write_nifti(made[name], MetaTensor(z.expand(1, *shape).contiguous(), affine=affine))
    return made


def test_a_coarse_scan_is_packed_without_interpolation_where_grids_agree(files):
    data = LoadScalesd("image", ["CT", "PET"], ENTERS)({"study": "s", "image": files})
    assert data["image"].shape == (2, 16, 16, 16)
    assert data["image"][1].isnan().all()
    packed = PackScalesd("image", ["CT", "PET"], ENTERS)(data)["image"]
    np.testing.assert_allclose(packed[1, 0, 0], np.repeat((np.arange(8) + 0.5) * 4, 2), atol=1e-3)
    np.testing.assert_allclose(packed[0, 0, 0], (np.arange(16) + 0.5) * 2)


def test_a_coarse_scan_follows_the_grid_that_the_finest_was_brought_to(files):
    """Windows are turned, moved and scaled in training: what lies at a place in both scans does so in the window."""
    data = LoadScalesd("image", ["CT", "PET"], ENTERS)({"study": "s", "image": files})
    ways = {"rotate_range": [[0.3, 0.5]] * 3, "scale_range": [[-0.3, -0.2]] * 3, "translate_range": [[2, 3]] * 3}
    move = RandAffined("image", prob=1, spatial_size=(12, 12, 12), mode="bilinear", padding_mode="border", **ways)
    packed = PackScalesd("image", ["CT", "PET"], ENTERS)(move.set_random_state(0)(data))["image"]
    fine, coarse = (F.avg_pool3d(packed.as_tensor()[None, m], 2) for m in (0, 1))
    inside = fine.isfinite() & coarse.isfinite() & (fine > 7) & (fine < 25)  # not where the border was repeated
    assert inside.sum() > 60
    assert fine[inside].std() > 3
    assert (coarse - fine)[inside].abs().max() < 0.5
    assert (coarse - fine)[inside].abs().median() < 0.05


def test_without_the_finest_the_next_gives_the_grid(files):
    load = LoadScalesd("image", ["CT", "PET"], ENTERS, absent=["CT"])
    data = PackScalesd("image", ["CT", "PET"], ENTERS)(load({"study": "s", "image": files}))
    assert data["image"].shape == (2, 8, 8, 8)
    assert data["image"][0].isnan().all()
    assert data["image"][1].isfinite().all()
    assert "image_scans" not in data


def test_scans_that_enter_at_one_level_need_not_share_a_grid(files):
    enters = {"CT": 0, "PET": 0}
    data = LoadScalesd("image", ["CT", "PET"], enters)({"study": "s", "image": files})
    packed = PackScalesd("image", ["CT", "PET"], enters)(data)["image"]
    assert packed.shape == (2, 16, 16, 16)
    np.testing.assert_allclose(packed[1, 0, 0, 4:-4], packed[0, 0, 0, 4:-4], atol=0.2)


def test_pictures(tmp_path):
    colours = np.zeros((40, 20, 3), np.uint8)
    colours[..., 0], colours[20:, :, 1] = 255, 255
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(colours[..., 1]).save(tmp_path / "grey.jpg")
    load = LoadPictured("image", ["skin", "cells"], [16, 8])
    image = load({"study": "s", "image": {"cells": str(tmp_path / "a.png")}})["image"]
    assert image.shape == (6, 16, 8)
    assert image[:3].isnan().all()
    assert (image[3] == 1).all()
    assert (image[4, :7] == -1).all()
    assert (image[4, 9:] == 1).all()
    grey = load({"study": "s", "image": {"skin": str(tmp_path / "grey.jpg")}})["image"]
    torch.testing.assert_close(grey[0].as_tensor(), grey[2].as_tensor())
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(PolyscanError, match=r"s: b\.png cannot be read as a picture"):
        load({"study": "s", "image": {"skin": str(tmp_path / "b.png")}})
    with pytest.raises(PolyscanError, match="expected at least one of skin, cells"):
        load({"study": "s", "image": {"CT": "x"}})
