"""Lesions measured by hand, and stages by rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.bundle import Staging
from polyscan.bundle.staging import longest_diameter, measure_lesions
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, PredictionRecord, Scan, Study

STAGES = [
    {"stage": "I", "lesions": 1, "metabolic_tumour_volume_ml": 1},
    {"stage": "II", "spread_mm": 50},
    {"stage": "III"},
]


def two_lesions():
    """64 and 27 voxels of 2 x 2 x 5 mm, 30 voxels apart along x, and one voxel of noise."""
    mask, suv = np.zeros((50, 20, 20), bool), np.full((50, 20, 20), 1.0)
    mask[2:6, 2:6, 2:6], suv[2:6, 2:6, 2:6] = True, 4.0
    mask[32:35, 2:5, 2:5], suv[32:35, 2:5, 2:5] = True, 8.0
    suv[33, 3, 3], mask[48, 18, 18], suv[2, 2, 2] = 20.0, True, np.nan
    return mask, np.diag([2.0, 2.0, 5.0, 1.0]), suv


def test_measures_are_those_by_hand():
    found = measure_lesions(*two_lesions(), smallest_ml=0.05)
    assert [lesion["volume_ml"] for lesion in found["each"]] == [1.28, 0.54]
    assert found["lesions"] == 2
    assert found["metabolic_tumour_volume_ml"] == pytest.approx(1.82)
    assert found["suv_max"] == 20
    assert found["each"][1]["suv_mean"] == pytest.approx((26 * 8 + 20) / 27, abs=0.01)
    assert found["total_lesion_glycolysis"] == pytest.approx(1.28 * 4 + 0.54 * 228 / 27, abs=0.1)
    # Centres at (3.5, 3.5, 3.5) and (33, 3, 3) voxels.
    assert found["spread_mm"] == pytest.approx(np.linalg.norm([59, 1, 2.5]), abs=0.1)
    mask, affine, _ = two_lesions()
    assert measure_lesions(mask, affine)["suv_max"] is None
    assert measure_lesions(np.zeros((4, 4, 4), bool), affine)["lesions"] == 0


def test_the_longest_diameter_is_from_edge_to_edge_in_any_direction():
    """Of a block of 8 x 8 x 20 mm from the middle of one end's voxel to that of the opposite one at the other end."""
    block, affine = two_lesions()[0][:10, :10, :10], np.diag([2.0, 2.0, 5.0, 1.0])
    assert longest_diameter(block, affine) == pytest.approx(np.linalg.norm([6, 6, 20]))
    turned = affine[[2, 0, 1, 3]] * [[1], [-1], [1], [1]]
    assert longest_diameter(block, turned) == pytest.approx(np.linalg.norm([6, 6, 20]))
    assert longest_diameter(np.ones((1, 1, 1), bool), affine) == pytest.approx(5)
    each = measure_lesions(*two_lesions(), smallest_ml=0.05)["each"]
    assert [lesion["longest_mm"] for lesion in each] == [21.7, 16.0]


def test_glycolysis_is_of_the_mean_that_was_not_rounded():
    found = measure_lesions(np.ones((10, 10, 10), bool), np.diag([10.0, 10, 10, 1]), np.full((10, 10, 10), 1.3545))
    assert found["total_lesion_glycolysis"] == 1354.5


def test_a_stage_is_the_first_whose_limits_hold(tmp_path):
    staging, (mask, affine, suv) = Staging(STAGES, smallest_ml=0.05), two_lesions()
    write_nifti(
        tmp_path / "mask.nii.gz",
        MetaTensor(torch.from_numpy(mask[None].astype(np.uint8)), affine=torch.from_numpy(affine)),
    )
    mask[32:] = False
    write_nifti(
        tmp_path / "one.nii.gz",
        MetaTensor(torch.from_numpy(mask[None].astype(np.uint8)), affine=torch.from_numpy(affine)),
    )
    write_nifti(
        tmp_path / "pet.nii.gz",
        MetaTensor(torch.from_numpy(suv[None].astype(np.float32)), affine=torch.from_numpy(affine)),
    )
    study = Study("1", scans={"PET": Scan(str(tmp_path / "pet.nii.gz"))}, label=Label(str(tmp_path / "mask.nii.gz")))
    prediction = PredictionRecord(str(tmp_path / "one.nii.gz"), present=["PET"])
    staging(study, prediction)
    answer = prediction.answers["stage"]
    assert (answer.predicted_class, answer.truth) == ("II", "III")
    assert answer.measures["suv_max"] == 4
    assert staging.stage({"lesions": 0}) is None
    by_uptake = Staging([{"stage": "cold", "suv_max": 3}, {"stage": "hot"}], smallest_ml=0.05)
    by_uptake(study, prediction)
    assert prediction.answers["stage"].predicted_class == "hot"
    assert by_uptake.stage({"lesions": 1, "suv_max": None}) == "cold"
    prediction.present = ["CT"]
    staging(study, prediction)
    assert prediction.answers["stage"].measures["suv_max"] is None


def test_rules_that_cannot_be_used_are_refused():
    with pytest.raises(PolyscanError, match="upper limits on lesions, metabolic_tumour_volume_ml"):
        Staging([{"stage": "I", "weight": 3}, {"stage": "II"}])
    with pytest.raises(PolyscanError, match="The last stage has limits"):
        Staging([{"stage": "I", "lesions": 3}])
