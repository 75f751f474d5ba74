"""Ways to cope with missing scans, on two made patients a fold, one of whom lacks a scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from missing_patients import COMES, EXACT, ZEROS, Patients, deformed, run, subsets_of, threshold

NAN = float("nan")
SCANS = ["T1", "FLAIR"]


@pytest.fixture
def patients():
    """Three slices each, whose mask is where FLAIR is bright; the third has no T1."""
    torch.manual_seed(0)
    mask = torch.zeros(12, 1, 16, 16)
    mask[:, :, 4:10, 4:10] = 1
    image = torch.randn(12, 2, 16, 16) * 0.1
    image[:, 1] += 3 * mask[:, 0]
    image[6:9, 0] = NAN
    return Patients(list("abcd"), image, mask, torch.arange(4).repeat_interleave(3), np.array([0, 1, 0, 1]))


def test_a_deformed_batch_keeps_what_is_missing_and_moves_scans_and_mask_alike(patients):
    image, mask = deformed(patients.mask.repeat(1, 2, 1, 1).masked_fill(patients.image.isnan(), NAN), patients.mask)
    assert torch.equal(image.isnan(), patients.image.isnan())
    assert not torch.equal(mask, patients.mask)
    assert ((image[:, 1] > 0.5) == (mask[:, 0] > 0)).float().mean() > 0.97


def test_a_patient_is_asked_of_what_there_is_of_a_subset(patients):
    assert subsets_of(SCANS) == [(0,), (1,), (0, 1)]
    rows = run(patients, SCANS, 0, COMES, steps=2)  # learns from b and d, who lack nothing
    for scores in rows.values():
        answered = {subset: [x is not None for x in found] for subset, found in scores.items()}
        both = [True, False, True, False]
        assert answered == {"T1": [True, False, False, False], "FLAIR": both, "T1+FLAIR": both}
    assert rows[ZEROS]["T1+FLAIR"][0] == rows[COMES]["T1+FLAIR"][0]
    assert list(run(patients, SCANS, 1, COMES, steps=1)) == [COMES]  # c lacks a scan: zeros are learnt apart
    zeros = run(patients, SCANS, 1, ZEROS, steps=1)[ZEROS]
    assert [x is not None for x in zeros["T1"]] == [False, True, False, True]
    assert list(run(patients, SCANS, 0, f"{EXACT} FLAIR", steps=1)[f"{EXACT} FLAIR"]) == ["FLAIR"]


def test_a_threshold_is_that_of_the_other_fold(patients):
    np.testing.assert_allclose(threshold(patients, 1), 1, atol=0.05)
    assert np.isnan(threshold(patients, 0)).tolist() == [False, False, True, False]
