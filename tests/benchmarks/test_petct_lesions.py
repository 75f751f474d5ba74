"""Made whole bodies, and how their lesions are scored one by one."""

from __future__ import annotations

import numpy as np
import pytest
import whole_body
from petct_lesions import Case, best_threshold, compare, share

from polyscan.bundle.staging import Staging, connected_lesions
from polyscan.formats.nifti import read_nifti

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
STAGING = Staging([{"stage": "1", "lesions": 1}, {"stage": "2"}])


def block(*corner, edge=4):
    """A cube of 8 mL in (40, 20, 20) voxels of 0.125 mL."""
    mask = np.zeros((40, 20, 20), bool)
    x, y, z = corner
    mask[x : x + edge, y : y + edge, z : z + edge] = True
    return mask


def test_each_lesion_is_found_or_not_and_what_overlaps_none_is_false():
    truth = block(2, 2, 2) | block(12, 2, 2) | block(38, 18, 18, edge=1)  # the last is too small to be a lesion
    marked = block(2, 2, 2, edge=8) | block(22, 2, 2) | block(30, 2, 2) | block(30, 15, 15, edge=1)
    found = compare(Case("s", np.ones(truth.shape), truth, AFFINE), marked, STAGING)
    assert found.lesions == [(pytest.approx(8), True), (pytest.approx(8), False)]
    assert found.volumes == [8.0]
    assert found.diameters == [pytest.approx(np.linalg.norm([8, 7, 7]) / np.linalg.norm([4, 3, 3]))]
    assert found.false == 2
    assert found.stage
    assert share([found]) == 0.5
    assert np.isnan(share([found], 2))
    assert not compare(Case("s", np.ones(truth.shape), truth, AFFINE), block(2, 2, 2), STAGING).stage


def test_the_best_threshold_is_that_of_the_highest_mean_dice():
    truth = block(2, 2, 2)
    suv = np.where(truth, 6.2, np.where(block(22, 2, 2), 4.2, 1.0))
    assert best_threshold([Case("s", suv, truth, AFFINE)]) == 4.5


def test_a_made_body_holds_its_lesions_and_uptake_that_is_none(tmp_path, monkeypatch):
    for name, edge in (("CT", 5.0), ("PET", 6.0)):
        monkeypatch.setitem(whole_body.SPACING, name, (edge,) * 3)
    chance = np.random.default_rng([1, 4])
    whole_body.organs(chance)
    drawn = whole_body.lesions(chance)
    study = whole_body.make(4, 1, tmp_path, 6.0, 0.6)
    case = Case.of(study)
    assert connected_lesions(case.truth, case.affine)[1] == len(drawn) > 1
    # A threshold that holds the lesions holds several times as much that is none.
    assert np.median(case.suv[case.truth]) > 2
    assert (case.suv > 2.5).sum() > 3 * case.truth.sum()
    hu = read_nifti(study.scans["CT"].path)[0].numpy()
    assert np.median(hu[case.truth]) > -200
