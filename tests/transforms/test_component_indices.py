"""Windows are drawn about each lesion as often, whatever its size, and about each place that could be taken for one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandCropByPosNegLabeld

from polyscan.transforms import ComponentIndicesd

AFFINE = torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0], dtype=torch.float64))


@pytest.fixture
def study():
    """A large and a small lesion; a brain that takes up more than both; a speck of noise. The PET has finer voxels."""
    label, uptake = torch.zeros(2, 1, 24, 24, 24)
    label[0, 2:10, 2:10, 2:10], label[0, 20, 20, 20] = 1, 1
    uptake[label > 0], uptake[0, 14:18, 2:8, 2:8], uptake[0, 2, 20, 2] = 5, 9, 9
    finer = torch.eye(4, dtype=torch.float64)
    finer[:3, :3] *= 2
    finer[:3, 3] = -1
    pet = MetaTensor(uptake.repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3), affine=finer)
    return {"label": MetaTensor(label, affine=AFFINE), "image_scans": {"PET": pet}}


def places(indices):
    return np.array(np.unravel_index(indices, (24, 24, 24))).T


def test_a_small_lesion_has_as_many_voxels_as_a_large_one(study):
    out = ComponentIndicesd("label", "image_scans", "PET", 2.5)(study)
    small = (places(out["label_fg"]) == 20).all(1)
    assert small.mean() == 0.5
    assert (study["label"].numpy().ravel()[out["label_fg"]] > 0).all()
    assert len(np.unique(out["label_fg"][~small])) > 200


def test_the_background_is_uptake_that_is_no_lesion(study):
    found = places(ComponentIndicesd("label", "image_scans", "PET", 2.5)(study)["label_bg"])
    assert (found >= [14, 2, 2]).all()  # neither lesions, nor their surroundings, nor the speck
    assert (found < [18, 8, 8]).all()


@pytest.mark.parametrize("scans", ["none", "low"])
def test_without_high_uptake_the_background_is_all_that_is_no_lesion(study, scans):
    study["image_scans"] = {} if scans == "none" else {"PET": study["image_scans"]["PET"] * 0.1}
    out = ComponentIndicesd("label", "image_scans", "PET", 2.5)(study)
    assert len(out["label_bg"]) == 24**3 - 8**3 - 1


def test_a_study_without_a_lesion_has_no_foreground(study):
    study["label"] = study["label"] * 0
    out = ComponentIndicesd("label", "image_scans", "PET", 2.5)(study)
    assert len(out["label_fg"]) == 0
    assert len(out["label_bg"]) == 2 * 256  # the brain and what was the large lesion; one voxel is too few


def test_monai_draws_windows_about_them(study):
    crop = RandCropByPosNegLabeld(
        "label", "label", (4, 4, 4), 1, 0, 40, fg_indices_key="label_fg", bg_indices_key="label_bg"
    ).set_random_state(0)
    windows = crop(ComponentIndicesd("label", "image_scans", "PET", 2.5)(study))
    of_the_small_one = [float(window["label"].sum()) == 1 for window in windows]
    assert 10 < sum(of_the_small_one) < 30
