"""Sets of classes that hold the true one as often as they say, for each pattern of availability by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_T = TypeVar("_T")
_EVERY_SUBSET_UP_TO = 4
_ROUNDING = 1e-5
"""By which part a probability of the same answer may differ between devices, and in single precision from double."""


@dataclass(frozen=True)
class ConformalSets:
    """Split conformal prediction sets, one threshold for each availability pattern.

    The classes whose probability is at least the threshold (Sadinle et al., JASA 114, 2019, least ambiguous sets),
    with a threshold of its own for each group (Mondrian conformal prediction: Vovk et al., Algorithmic Learning in a
    Random World, 2005). If the subjects who have studies of a pattern are exchangeable with those whom it was fitted
    on, the set of one study of a new subject holds the true class with at least the stated coverage, in that pattern
    too: see :func:`least_bound`.

    Attributes:
        coverage: such as 0.9.
        thresholds: pattern, a string of 0 and 1 by modality, to the least probability of a class in the set, less a
            rounding, so that answers as probable as the one that it comes from are held. A pattern with too few
            subjects to promise the coverage has none: its sets hold every class.
    """

    coverage: float
    thresholds: Mapping[str, float]

    @classmethod
    def fit(
        cls,
        probabilities: NDArray,
        target: NDArray,
        available: NDArray,
        subjects: Sequence[str],
        coverage: float = 0.9,
    ) -> ConformalSets:
        """Fit on studies that neither the network nor its calibration was fitted on.

        Args:
            probabilities: (study, class).
            target: (study,) index of the true class.
            available: (study, modality) bool.
            subjects: whose each study is.
            coverage: how often the set is to hold the true class.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        true = p[np.arange(len(p)), np.asarray(target, dtype=np.intp)]
        names = np.array([pattern_of(row) for row in np.asarray(available, dtype=bool)])
        bounds = {
            name: least_bound(-true[names == name], np.asarray(subjects)[names == name], coverage)
            for name in sorted(set(names.tolist()))
        }
        return cls(coverage, {name: -bound * (1 - _ROUNDING) for name, bound in bounds.items() if bound < np.inf})

    def __call__(self, probabilities: NDArray, available: NDArray) -> NDArray:
        """Which classes are in the set.

        Args:
            probabilities: (class,).
            available: (modality,) bool.

        Returns:
            (class,) bool. More than one: the network cannot tell them apart at this coverage; a person should, as where
            there is none, since even the likeliest class is less probable than the true one is nearly always.
        """
        threshold = self.thresholds.get(pattern_of(available), 0.0)
        return np.asarray(probabilities, dtype=np.float64) >= threshold


def least_bound(scores: NDArray, subjects: NDArray, coverage: float) -> float:
    """The least score that the one of a new subject's study does not exceed with at least a given probability.

    Split conformal prediction where all studies of a subject together weigh as much as the one of another, since
    subjects are exchangeable and sessions of one are not with those of others (Lee, Barber and Willett,
    Distribution-free inference with hierarchical data, arXiv 2306.06342, 2023; Dunn, Wasserman and Ramdas, JASA 118,
    2023): the least at which (the sum over subjects of the part of their studies that exceeds it + 1) / (subjects + 1)
    is at most 1 - coverage. Of one study each it is the usual rank.

    Args:
        scores: (study,).
        subjects: (study,) whose each is.
        coverage: such as 0.9.

    Returns:
        One of the scores; infinite where the subjects are too few to promise the coverage.
    """
    names, which, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    order = np.argsort(-scores)
    weights = 1 / counts[which.ravel()[order]]
    exceeding = weights.cumsum() - weights
    kept = scores[order][exceeding + 1 <= (1 - coverage) * (len(names) + 1) + 1e-9]  # rounding of whole numbers
    return float(kept[-1]) if kept.size else float("inf")


def tried_subsets(present: Sequence[_T]) -> list[list[_T]]:
    """From what a study is answered to calibrate: each subset of up to four modalities, else one left out at a time."""
    if len(present) > _EVERY_SUBSET_UP_TO:
        return [list(present), *([m for m in present if m != absent] for absent in present)]
    return [[m for k, m in enumerate(present) if code >> k & 1] for code in range(1, 2 ** len(present))]


def pattern_of(available: ArrayLike) -> str:
    """A pattern of availability (modality,) as text, such as ``1101``."""
    return "".join("1" if each else "0" for each in np.asarray(available, dtype=bool))
