"""What a comparison found: a row a strategy, with the chance of every claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import median_low
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyscan.compare.cohort import Cohort
from polyscan.compare.protocol import CONCATENATION, Protocol
from polyscan.evaluation.calibration import (
    area_under_risk_coverage,
    brier_score,
    calibrated_error_quantile,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
)
from polyscan.evaluation.information import Bounds
from polyscan.evaluation.statistics import (
    Interval,
    bootstrap,
    corrected_difference,
    holm,
    macro_auroc,
    over_folds,
    probability_of_false_claim,
)

if TYPE_CHECKING:
    from polyscan.compare.information import Shared
    from polyscan.compare.run import Cell

ALL = "all"
SCANNER = "another scanner"
N_RESAMPLES = 300
FEWEST = 4
"""Patients of the rarest class in a fold below which nothing is claimed: tests of so few values call strategies that
are alike different in up to 11 of 100 cohorts (``benchmarks/false_claims.py``)."""


@dataclass(frozen=True)
class Row:
    """One strategy.

    Attributes:
        strategy: its name.
        auroc: mean over seeds and folds, of each class against the others, with its interval over patients drawn again.
        accuracy: mean over seeds and folds.
        of_optimum: the accuracy as a part of the best that can be had on the same studies, where that is known.
        difference: auroc less that of concatenation, with its interval over folds (Nadeau and Bengio).
        p: of that difference, after Holm over all strategies.
        false_claim: how probable it is that the strategy is not on the side of concatenation where it seems to be.
        verdict: ``better``, ``worse`` or nothing.
        without: the mean auroc where one modality is gone, and the lowest.
        alone: the mean auroc where one modality is all there is.
        spoiled: the mean auroc where one modality holds noise.
        moved_2mm, moved_5mm, moved_10mm: of images, the mean auroc where one is moved against the others.
        other_scanner: of images, auroc where all are as by another scanner.
        ece, ece_by_chance: expected calibration error, and what a calibrated model's stays below 95 times in 100.
        classwise_ece: the same error of each class's probability, averaged over classes.
        brier, log_loss: of the probabilities.
        aurc: area under the risk-coverage curve where the highest probability says how sure an answer is: how much is
            wrong among the surest. Lower is better.
        parameters: of the network. flops: of one answer. memory: bytes that a step of training takes. seconds: of CPU
            time, for one training. See :class:`polyscan.compare.network.TrainedNetwork`.
    """

    strategy: str
    auroc: Interval
    accuracy: float
    of_optimum: float | None
    difference: Interval
    p: float
    false_claim: float
    verdict: str
    without: float
    worst_without: float
    alone: float | None
    spoiled: float | None
    moved_2mm: float | None
    moved_5mm: float | None
    moved_10mm: float | None
    other_scanner: float | None
    ece: float
    ece_by_chance: float
    classwise_ece: float
    brier: float
    log_loss: float
    aurc: float
    parameters: int
    flops: int
    memory: int
    seconds: float


class Told:
    """What one strategy told of every study, once a seed.

    Args:
        protocol: folds and seeds.
        cohort: the studies.
        records: the strategy's cells by (seed, fold).
    """

    def __init__(
        self, protocol: Protocol, cohort: Cohort, records: Mapping[tuple[int, int], Mapping[str, Any]]
    ) -> None:
        shape = (protocol.seeds, len(cohort.y))
        self.truth = cohort.y
        self.classes = len(cohort.classes)
        self.folds = np.zeros(shape, dtype=int)
        conditions = next(iter(records.values()))["probabilities"]
        self.p = {name: np.full((*shape, self.classes), np.nan) for name in conditions}
        for (seed, fold), record in records.items():
            rows = record["test"]
            self.folds[seed, rows] = fold
            for name, probabilities in record["probabilities"].items():
                self.p[name][seed, rows] = probabilities
        every = [record["cost"] for record in records.values()]
        self.cost: dict[str, Any] = {name: median_low(each[name] for each in every) for name in every[0]}

    def area(self, seed: int, rows: NDArray[np.intp], condition: str = ALL) -> float:
        """AUROC of some studies, each class against the others."""
        return macro_auroc(self.p[condition][seed, rows], self.truth[rows])

    def fold_areas(self, condition: str = ALL) -> NDArray[np.float64]:
        """(seed x fold,) AUROC."""
        seeds, folds = range(len(self.folds)), np.unique(self.folds)
        return np.array([self.area(s, np.flatnonzero(self.folds[s] == f), condition) for s in seeds for f in folds])

    def mean_area(self, conditions: list[str]) -> list[float]:
        """The mean AUROC under each of some conditions, of those that the studies were tested under."""
        return [float(np.nanmean(self.fold_areas(condition))) for condition in conditions if condition in self.p]

    def interval(self, patients: NDArray[Any]) -> Interval:
        """AUROC, the mean over seeds and folds, over patients drawn again."""
        scores = [
            over_folds(lambda rows, s=s: self.area(s, rows), self.folds[s])  # type: ignore[misc]
            for s in range(len(self.folds))
        ]
        return bootstrap(
            lambda rows: float(np.mean([score(rows) for score in scores])), list(patients), n_resamples=N_RESAMPLES
        )


def summarise(protocol: Protocol, cohort: Cohort, records: Mapping[Cell, Mapping[str, Any]]) -> list[Row]:
    """A row a strategy, the highest AUROC first.

    Args:
        protocol: what was fixed before.
        cohort: the studies.
        records: of every training, as :func:`polyscan.compare.run.run_cell` writes them.
    """
    told = told_by_strategy(protocol, cohort, records)
    reference = told[CONCATENATION].fold_areas()
    fraction = 1 / protocol.folds
    found = {
        name: corrected_difference(of.fold_areas(), reference, fraction)
        for name, of in told.items()
        if name != CONCATENATION
    }
    adjusted = dict(zip(found, holm([p for _, p in found.values()]), strict=True))
    best = cohort.optimum(np.arange(len(cohort.y)))
    rows = []
    for name, of in told.items():
        difference = found[name][0] if name in found else Interval(0.0, 0.0, 0.0)
        p = float(adjusted[name]) if name in found else 1.0
        false = probability_of_false_claim(of.fold_areas(), reference, fraction) if name in found else 0.5
        proven = p <= protocol.level and false <= protocol.level and may_claim(protocol, cohort)
        rows.append(_row(name, of, cohort, best, difference, p, false, proven))
    return sorted(rows, key=lambda row: -row.auroc.value)


def told_by_strategy(protocol: Protocol, cohort: Cohort, records: Mapping[Cell, Mapping[str, Any]]) -> dict[str, Told]:
    """What each strategy told; arguments as :func:`summarise` has them."""
    names = dict.fromkeys(cell.strategy for cell in records)
    return {
        name: Told(protocol, cohort, {(c.seed, c.fold): record for c, record in records.items() if c.strategy == name})
        for name in names
    }


def may_claim(protocol: Protocol, cohort: Cohort) -> bool:
    """Whether folds hold enough patients of each class for a difference to be called one."""
    return cohort.fewest >= FEWEST * protocol.folds


def _row(
    name: str, of: Told, cohort: Cohort, best: float | None, difference: Interval, p: float, false: float, proven: bool
) -> Row:
    def over(conditions: str) -> float | None:
        areas = of.mean_area([conditions.format(m) for m in cohort.modalities])
        return float(np.nanmean(areas)) if areas else None

    without = of.mean_area([f"without {m}" for m in cohort.modalities])
    probabilities = of.p[ALL].reshape(-1, of.classes)
    truth = np.tile(of.truth, len(of.folds))
    wrong = probabilities.argmax(1) != truth
    accuracy = float(1 - wrong.mean())
    return Row(
        strategy=name,
        auroc=of.interval(cohort.patients),
        accuracy=accuracy,
        of_optimum=None if best is None else accuracy / best,
        difference=difference,
        p=p,
        false_claim=false,
        verdict=("better" if difference.value > 0 else "worse") if proven else "",
        without=float(np.nanmean(without)),
        worst_without=float(np.nanmin(without)),
        alone=over("{} alone"),
        spoiled=over("{} spoiled"),
        moved_2mm=over("{} moved 2 mm"),
        moved_5mm=over("{} moved 5 mm"),
        moved_10mm=over("{} moved 10 mm"),
        other_scanner=over(SCANNER),
        ece=expected_calibration_error(of.p[ALL][0], of.truth),
        ece_by_chance=calibrated_error_quantile(of.p[ALL][0], trials=200),
        classwise_ece=classwise_calibration_error(of.p[ALL][0], of.truth),
        brier=brier_score(probabilities, truth),
        log_loss=negative_log_likelihood(probabilities, truth),
        aurc=area_under_risk_coverage(1 - probabilities.max(1), wrong),
        **of.cost,
    )


def flat(row: Row | Shared) -> dict[str, Any]:
    """A row as a table has it, an interval in three columns, bounds in two."""
    out: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if isinstance(value, Interval):
            out[field.name] = value.value
        if isinstance(value, (Interval, Bounds)):
            out.update({f"{field.name}_low": value.low, f"{field.name}_high": value.high})
        else:
            out[field.name] = value
    return {name: f"{value:.5g}" if isinstance(value, float) else value for name, value in out.items()}
