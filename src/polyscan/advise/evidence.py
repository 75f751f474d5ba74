"""What ways to fuse have been worth on other cohorts, weighed by how alike these are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from polyscan.advise.describe import Description
from polyscan.advise.probes import Probes
from polyscan.compare.protocol import CONCATENATION
from polyscan.evaluation.statistics import corrected_error
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder
from polyscan.files.tables import rows_in

PRIOR_WEIGHT = 1.0
"""A rule counts as much as one cohort that is just alike."""


@dataclass(frozen=True)
class StoredResult:
    """What one strategy gave on one cohort.

    Attributes:
        auroc: mean over folds, with everything that the studies have.
        without: the same networks with one more modality gone, the mean over which.
        folds: AUROC of each fold.
    """

    auroc: float
    without: float
    folds: tuple[float, ...]


@dataclass(frozen=True)
class StoredCohort:
    """A cohort on which ways to fuse were compared.

    Attributes:
        name: of the cohort.
        source: what it is drawn from; cohorts of one source are left out together.
        made: no patients.
        folds: of its cross-validation.
        described: what it is like.
        results: strategy to what it gave; of images, which take longer, some strategies alone were compared.
    """

    name: str
    source: str
    made: bool
    folds: int
    described: Description
    results: Mapping[str, StoredResult]

    def gain(self, strategy: str, one_gone: bool = False) -> float:
        """Points of AUROC (hundredths) over concatenation."""
        ours, base = self.results[strategy], self.results[CONCATENATION]
        return 100 * (ours.without - base.without if one_gone else ours.auroc - base.auroc)

    def expected_gain(self, strategy: str, one_gone: bool = False) -> float:
        """The gain that can be expected again: g (1 - e^2 / g^2), and 0 where it is below its standard error e.

        Empirical Bayes with a normal prior about 0 whose variance is estimated from the gain itself (Efron and Morris,
        Stein's estimation rule and its competitors, JASA 68, 1973, positive part): three folds of one seed tell gains
        of a point by chance. The error is that over folds with everything there, also where one modality is gone.
        """
        gain = self.gain(strategy, one_gone)
        ours, base = (self.results[name].folds for name in (strategy, CONCATENATION))
        error = 100 * corrected_error(ours, base, 1 / self.folds)
        return gain * max(0.0, 1 - (error / gain) ** 2) if gain else 0.0


#: How far apart two cohorts are that differ by as much: the unit of each measure of likeness.
SCALES = {
    "images": 0.2,
    "classes": 0.3,
    "log2_patients": 2.0,
    "log2_modalities": 1.0,
    "log2_values": 3.0,
    "missing": 0.15,
    "untrusted": 0.15,
    "rarest": 0.2,
    "best_alone": 0.15,
    "joint_gain": 0.05,
    "within_gain": 0.05,
    "across_gain": 0.05,
}


def likeness_of(cohort: Description) -> dict[str, float]:
    """The measures by which cohorts are compared, those of :data:`SCALES` that are known."""
    found = {
        "images": float(bool(cohort.images)),
        "classes": float(cohort.task == "classes"),
        "log2_patients": math.log2(cohort.patients),
        "log2_modalities": math.log2(len(cohort.missing)),
        "missing": cohort.mean_missing,
        "untrusted": sum(cohort.untrusted.values()) / len(cohort.missing),
        "rarest": cohort.rarest,
    }
    if cohort.values:
        found["log2_values"] = math.log2(cohort.values)
    if cohort.probes:
        found["best_alone"] = cohort.probes.best_alone
        found["joint_gain"] = cohort.probes.joint_gain
        found["within_gain"] = cohort.probes.within_gain
        found["across_gain"] = cohort.probes.across_gain
    return {name: round(value, 4) for name, value in found.items()}


def alike(first: Description, second: Description) -> float:
    """From 1, the same in all that is known of both, towards 0: exp(-d^2 / 2), d in units of the scales."""
    a, b = likeness_of(first), likeness_of(second)
    squared = sum(((a[name] - b[name]) / SCALES[name]) ** 2 for name in a.keys() & b.keys())
    return math.exp(-squared / 2)


@dataclass(frozen=True)
class Estimate:
    """What a strategy is expected to be worth.

    Attributes:
        strategy: its name.
        points: of AUROC over concatenation, in hundredths: (rule + sum of w gain) / (1 + sum of w), w how alike the
            cohorts are, gains as :meth:`StoredCohort.expected_gain` has them; a rule counts as one cohort that is just
            alike.
        rule: what rules alone expect, over what they expect of concatenation.
        evidence: what stored results alone say; None without any.
        weight: the sum of w.
    """

    strategy: str
    points: float
    rule: float
    evidence: float | None
    weight: float


def estimate(
    cohort: Description,
    rules: Mapping[str, float],
    stored: Sequence[StoredCohort],
    one_gone: bool = False,
) -> list[Estimate]:
    """Weigh rules and stored results, the best strategy first; where two are equal, in the order of ``rules``.

    Args:
        cohort: the one that advice is for.
        rules: strategy to the points that rules expect of it, that of concatenation among them.
        stored: without the cohort itself.
        one_gone: go by results with one modality gone.
    """
    found = []
    weights = [alike(cohort, each.described) for each in stored]
    for name, expected in rules.items():
        prior = expected - rules[CONCATENATION]
        known = [
            (w, c.expected_gain(name, one_gone)) for w, c in zip(weights, stored, strict=True) if name in c.results
        ]
        weight = sum(w for w, _ in known)
        seen = sum(w * gain for w, gain in known)
        points = (PRIOR_WEIGHT * prior + seen) / (PRIOR_WEIGHT + weight)
        found.append(Estimate(name, points, prior, seen / weight if weight > 1e-3 else None, weight))
    return sorted(found, key=lambda each: -each.points)


@cache
def stored_cohorts() -> tuple[StoredCohort, ...]:
    """Those of ``benchmarks/results``, which come with polyscan."""
    folder = resource_folder("benchmarks") / "results"
    told: dict[str, Any] = read_json(folder / "cohorts.json")
    rows = rows_in(folder / "strategies.csv")
    return tuple(
        stored_cohort(name, about, [row for row in rows if row["cohort"] == name]) for name, about in told.items()
    )


def stored_cohort(name: str, about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> StoredCohort:
    """A cohort from what ``benchmarks/strategies.py`` writes of it.

    Args:
        name: of the cohort.
        about: its entry of ``cohorts.json``.
        rows: its rows of ``strategies.csv``.
    """
    results = {
        str(row["strategy"]): StoredResult(
            float(row["auroc"]), float(row["without"]), tuple(map(float, row["fold_auroc"].split()))
        )
        for row in rows
    }
    told, probes = about["described"], about["described"].get("probes")  # as dataclasses.asdict writes it
    described = Description(**{**told, "probes": Probes(**probes) if probes else None})
    return StoredCohort(name, about["source"], about["made"], about["folds"], described, results)
