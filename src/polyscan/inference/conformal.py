"""Sets of classes that hold the true one as often as they say, for each pattern of availability by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-5
"""By which part a probability of the same answer may differ between devices, and in single precision from double."""


@dataclass(frozen=True)
class ConformalSets:
    """Split conformal prediction sets, one threshold for each availability pattern.

    The classes whose probability is at least the threshold (Sadinle et al., JASA 114, 2019, least ambiguous sets),
    with a threshold of its own for each group (Mondrian conformal prediction: Vovk et al., Algorithmic Learning in a
    Random World, 2005). If the studies of a pattern are exchangeable with those that it was fitted on, the
    set holds the true class with at least the stated coverage, in that pattern too.

    Attributes:
        coverage: such as 0.9.
        thresholds: pattern, a string of 0 and 1 by modality, to the least probability of a class in the set, less a
            rounding, so that answers as probable as the one that it comes from are held. A pattern with too few studies
            to promise the coverage has none: its sets hold every class.
    """

    coverage: float
    thresholds: Mapping[str, float]

    @classmethod
    def fit(cls, probabilities: NDArray, target: NDArray, available: NDArray, coverage: float = 0.9) -> ConformalSets:
        """Fit on studies that neither the network nor its calibration was fitted on.

        Args:
            probabilities: (study, class).
            target: (study,) index of the true class.
            available: (study, modality) bool.
            coverage: how often the set is to hold the true class.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        true = p[np.arange(len(p)), np.asarray(target, dtype=np.intp)]
        names = np.array([pattern_of(row) for row in np.asarray(available, dtype=bool)])
        thresholds = {}
        for name in sorted(set(names.tolist())):
            known = np.sort(true[names == name])
            rank = math.ceil(round((len(known) + 1) * coverage, 9))
            if rank <= len(known):
                thresholds[name] = float(known[-rank]) * (1 - _ROUNDING)
        return cls(coverage, thresholds)

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


def pattern_of(available: NDArray) -> str:
    """A pattern of availability (modality,) as text, such as ``1101``."""
    return "".join("1" if each else "0" for each in np.asarray(available, dtype=bool))
