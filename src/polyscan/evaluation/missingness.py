"""Whether it is chance that decides which modalities are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyscan.evaluation.statistics import holm
from polyscan.study import Study

N_PERMUTATIONS = 1999
LEVEL = 0.05
KINDS = ("label", "centre", "clinical", "modality")
"""Of what it may depend on."""
FEWEST = 5
"""Subjects that have a modality, and that lack it, below which nothing is tested."""


@dataclass(frozen=True)
class Dependence:
    """Something on which it depends whether a modality is missing.

    Attributes:
        modality: what is missing.
        on: ``label NAME``, ``centre``, ``clinical NAME`` or ``modality NAME``.
        p: of a permutation test, after Holm over everything that was tested.
        rates: value to how often the modality is missing there; lower and upper half of a number.
    """

    modality: str
    on: str
    p: float
    rates: dict[str, float]


def dependences(
    studies: Sequence[Study], modalities: Sequence[str], kinds: Collection[str] = KINDS
) -> list[Dependence]:
    """What the missingness of each modality depends on: labels, centre, clinical variables, and other modalities.

    Missing completely at random (Rubin, Biometrika 63, 1976) it depends on none. Each is tested by permuting who lacks
    the modality among subjects, by the chi-squared statistic; a number is divided at its median. Subjects count once,
    by their first study. Not to be found is not to be absent: small cohorts hide much.

    Args:
        studies: of the cohort.
        modalities: keys of scans.
        kinds: of :data:`KINDS`, what is tested.

    Returns:
        Those whose p is at most 0.05 after Holm's correction over all tests, the clearest first.
    """
    first = list({study.subject: study for study in reversed(studies)}.values())
    missing = {name: np.array([name not in study.scans for study in first]) for name in modalities}
    tested = {name: gone for name, gone in missing.items() if FEWEST <= gone.sum() <= len(gone) - FEWEST}
    factors = {name: values for name, values in _factors(first).items() if name.partition(" ")[0] in kinds}
    found: list[Dependence] = []
    for name, gone in tested.items():
        others = {
            f"modality {other}": np.where(missing[other], "missing", "there")
            for other in tested
            if other != name and "modality" in kinds
        }
        for on, values in {**factors, **others}.items():
            known = values != ""
            if len(set(values[known])) > 1 and 0 < gone[known].sum() < known.sum():
                rates = {str(v): round(float(gone[values == v].mean()), 3) for v in sorted(set(values[known]))}
                found.append(Dependence(name, on, _permuted(gone[known], values[known]), rates))
    if not found:
        return []
    adjusted = holm([each.p for each in found])
    significant = [replace(each, p=float(p)) for each, p in zip(found, adjusted, strict=True) if p <= LEVEL]
    return sorted(significant, key=lambda each: each.p)


def _factors(studies: Sequence[Study]) -> dict[str, NDArray[np.str_]]:
    """Name to the value of each study, in words; empty where it is not known."""
    columns: dict[str, list[object]] = {"centre": [study.centre for study in studies]}
    for kind, of in (("label", [s.label.tasks for s in studies]), ("clinical", [s.clinical for s in studies])):
        for name in dict.fromkeys(key for each in of for key in each):
            columns[f"{kind} {name}"] = [_value(each.get(name)) for each in of]
    return {name: words for name, values in columns.items() if 1 < len(set(words := _words(values)) - {""}) <= 20}


def _value(value: object) -> object:
    """Of survival, whether the event was seen; everything else as it is."""
    return f"event {value.get('event')}" if isinstance(value, Mapping) else value


def _words(values: Sequence[object]) -> NDArray[np.str_]:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(set(numbers)) > 5:
        middle = float(np.median(numbers))
        return np.array(
            [
                "" if not isinstance(v, int | float) else f"> {middle:g}" if v > middle else f"<= {middle:g}"
                for v in values
            ]
        )
    return np.array(["" if v is None else str(v) for v in values])


def _permuted(gone: NDArray[np.bool_], values: NDArray[np.str_]) -> float:
    """How often a permutation of who lacks a modality depends on values as much."""
    group = np.unique(values, return_inverse=True)[1]
    sizes = np.bincount(group)
    share = gone.mean()

    def statistic(rows: NDArray[np.bool_]) -> float:
        return float(((np.bincount(group, rows) - sizes * share) ** 2 / sizes).sum())

    chance = np.random.default_rng(0)
    observed = statistic(gone)
    as_much = sum(statistic(chance.permutation(gone)) >= observed * (1 - 1e-9) for _ in range(N_PERMUTATIONS))
    return (1 + as_much) / (1 + N_PERMUTATIONS)
