"""Whether the probabilities and prediction sets of a network hold what they promise, by the scans that were there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyscan.evaluation import Interval, bootstrap
from polyscan.evaluation.calibration import (
    area_under_risk_coverage,
    calibrated_error_quantile,
    expected_calibration_error,
)
from polyscan.study import Study

EVERY = "any"


@dataclass(frozen=True)
class Reliability:
    """Of the studies that a network answered from some scans.

    Attributes:
        scans: that it read, or ``any``: all studies.
        studies: how many.
        ece, by_chance: expected calibration error, and what a perfectly calibrated model's stays below 95 times in 100
            with so many studies.
        aurc: area under the risk-coverage curve, the highest probability telling how sure an answer is.
        coverage: how many prediction sets hold the true class, with its interval over patients drawn again; None where
            none were told.
        size: classes in a set, the mean.
    """

    scans: str
    studies: int
    ece: float
    by_chance: float
    aurc: float
    coverage: Interval | None
    size: float | None

    def __str__(self) -> str:
        held = ["", ""] if self.coverage is None else [str(self.coverage), f"{self.size:.2f}"]
        cells = [self.scans, self.studies, f"{self.ece:.3f} ({self.by_chance:.3f})", f"{self.aurc:.3f}", *held]
        return f"| {' | '.join(map(str, cells))} |"


HEAD = (
    "| from | studies | ECE (95 % of calibrated ones below) | AURC | sets with the truth | classes in a set |\n"
    "|---|---|---|---|---|---|"
)


def reliability(task: str, studies: Sequence[Study], n_resamples: int = 1000) -> list[Reliability]:
    """One row of all studies, and one of each combination of scans where there are several, the commonest first.

    Args:
        task: of classes.
        studies: with an answer and a label of it.
        n_resamples: cohorts drawn for an interval.
    """
    groups: dict[str, list[Study]] = {}
    for study in studies:
        groups.setdefault(" + ".join(study.prediction.present) if study.prediction else "", []).append(study)
    of_each = sorted(groups.items(), key=lambda group: -len(group[1])) if len(groups) > 1 else []
    return [_row(task, scans, of, n_resamples) for scans, of in [(EVERY, list(studies)), *of_each]]


def _row(task: str, scans: str, studies: Sequence[Study], n_resamples: int) -> Reliability:
    answers = [study.prediction.answers[task] for study in studies if study.prediction]
    truth = [str(study.label.tasks[task]) for study in studies]
    classes = sorted({*truth, *(name for said in answers for name in said.probabilities)})
    p = np.array([[said.probabilities.get(name, 0.0) for name in classes] for said in answers])
    y = np.array([classes.index(name) for name in truth])
    sets = [said.prediction_set for said in answers if said.prediction_set is not None]
    coverage, size = None, None
    if len(sets) == len(answers):
        held = np.array([name in of for name, of in zip(truth, sets, strict=True)], dtype=float)
        patients = [study.subject for study in studies]
        coverage = bootstrap(lambda rows: float(held[rows].mean()), patients, n_resamples=n_resamples)
        size = float(np.mean([len(of) for of in sets]))
    return Reliability(
        scans,
        len(studies),
        expected_calibration_error(p, y),
        calibrated_error_quantile(p),
        area_under_risk_coverage(1 - p.max(1), p.argmax(1) != y),
        coverage,
        size,
    )
