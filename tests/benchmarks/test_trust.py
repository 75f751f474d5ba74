"""Benchmarks of what is promised: by a made network that is asked from every pattern, and by maps of known order."""

from __future__ import annotations

import numpy as np
import pytest
from calibrated import by_pattern
from confidence import RULES, scored

from polyscan.study import PredictionRecord, Study
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.study.prediction import RegionScore


def test_every_pattern_is_told_of():
    found = by_pattern("shared_latent", "temperature", 400)
    assert set(found) == {"11", "10", "01"}
    for before, after, chance, held in found.values():
        assert 0 < after < 0.1
        assert 0 < before < 0.2
        assert 0.01 < chance < 0.09  # of 400 studies
        assert held == pytest.approx(0.9, abs=0.07)


def test_the_rule_that_orders_masks_as_their_dice_is_the_best(tmp_path):
    told = {"a": (0.9, 0.8, 3.0), "b": (0.1, None, 0.0), "c": (0.5, 0.4, 9.0)}
    studies = []
    for name, (dice, confidence, volume) in told.items():
        study = Study(name)
        study.prediction = PredictionRecord(
            "mask.nii.gz",
            confidence={} if confidence is None else {"lesion": confidence},
            volumes_ml={"lesion": volume},
            scores={"lesion": RegionScore(dice, volume, volume)},
        )
        studies.append(study)
    write_manifest(tmp_path / "manifest.json", Manifest(testing=studies))
    patients, of = scored(tmp_path / "manifest.json")
    assert patients == ["a", "b", "c"]
    assert of[1].tolist() == [0.1, 0.0, 0.0]
    areas = {name: rule(of) for name, rule in RULES.items()}
    assert areas["confidence"] == areas["the best order"] < areas["volume"]
    assert areas["any order"] == pytest.approx(np.mean(1 - of[:, 0]))
