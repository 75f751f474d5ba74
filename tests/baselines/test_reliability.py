"""What a network promised of classes, and what held, by the scans that it read."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.baselines.evaluate import evaluate
from polyscan.baselines.reliability import reliability
from polyscan.study import Label, PredictionRecord, Study, TaskPrediction
from polyscan.study.manifest import Manifest, write_manifest


def said(number, present, p, truth, held):
    answer = TaskPrediction("yes", probabilities={"no": 1 - p, "yes": p}, prediction_set=held)
    prediction = PredictionRecord("answer.json", present=present, answers={"class": answer})
    return Study(f"{number}", label=Label(tasks={"class": truth}), prediction=prediction, fold=number % 2)


def test_by_hand():
    both = ["no", "yes"]
    studies = [
        *(said(k, ["CT", "PET"], 0.9, "yes" if k else "no", ["yes"]) for k in range(10)),  # nine of ten: as promised
        *(said(10 + k, ["CT"], 0.8, "no" if k < 3 else "yes", both if k < 2 else []) for k in range(4)),
    ]
    every, two, one = reliability("class", studies, n_resamples=50)
    assert [(row.scans, row.studies) for row in (every, two, one)] == [("any", 14), ("CT + PET", 10), ("CT", 4)]
    assert two.ece == pytest.approx(0.0, abs=1e-9)
    assert 0.05 < two.by_chance < 0.4
    assert one.ece == pytest.approx(0.8 - 0.25)
    assert every.ece == pytest.approx(4 * 0.55 / 14)
    assert (two.coverage.value, two.size) == (0.9, 1.0)
    assert (one.coverage.value, one.size) == (0.5, 1.0)
    assert two.coverage.low < 0.9 < two.coverage.high
    assert two.aurc == pytest.approx(0.1)
    risks = [0.1] * 10 + [(1 + 0.75 * k) / (10 + k) for k in range(1, 5)]
    assert every.aurc == pytest.approx(np.mean(risks))
    assert str(two) == f"| CT + PET | 10 | 0.000 ({two.by_chance:.3f}) | 0.100 | {two.coverage} | 1.00 |"


def test_evaluate_tells_it_of_each_network_and_of_no_simple_model(tmp_path):
    for folder, held in (("plain", None), ("calibrated", ["yes"])):
        studies = [said(k, ["CT"], 0.9, ("no", "yes")[k // 2 % 2], held) for k in range(12)]
        write_manifest(tmp_path / folder / "manifest.json", Manifest(testing=studies))
    (table,) = evaluate([tmp_path / "plain", tmp_path / "calibrated"], n_resamples=20)
    assert list(table.reliability) == [str(tmp_path / "plain"), str(tmp_path / "calibrated")]
    plain, calibrated = (table.reliability[str(tmp_path / name)][0] for name in ("plain", "calibrated"))
    assert plain.coverage is None
    assert calibrated.coverage.value == 0.5
    assert plain.ece == pytest.approx(0.4)
    text = str(table)
    assert f"What {tmp_path / 'plain'} promises of class, and what held:" in text
    assert str(plain) in text
    assert "|  |  |" in str(plain)
    (accuracy,) = evaluate([tmp_path / "plain"], accuracy=True, n_resamples=20)
    assert accuracy.reliability
