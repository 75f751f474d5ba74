"""Intervals that hold the true volume of a region as often as they say, for each pattern of availability by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polyscan.inference.conformal import least_bound, pattern_of

SETTINGS = ("threshold", "mirror")
"""Entries of a bundle on which volumes depend."""


@dataclass(frozen=True)
class VolumeIntervals:
    """Split conformal intervals of volumes, by region and by which modalities were read.

    By how much the cube root of a true volume is below, and above, that of the marked one has a bound each, which is
    exceeded in half of what the coverage leaves (split conformal prediction: Vovk et al., Algorithmic Learning in a
    Random World, 2005). Cube roots are lengths: an error at the surface changes that of a small region as much as that
    of a large one, and where nothing was marked there is one too. Patterns are told apart, and a subject counts once,
    as in :class:`polyscan.inference.conformal.ConformalSets`.

    Attributes:
        coverage: such as 0.9.
        bounds: region to pattern, a string of 0 and 1 by modality, to how far below and how far above, in millilitres
            to the third. A pattern with too few subjects to promise the coverage has none.
        settings: :data:`SETTINGS` with which it was fitted.
    """

    coverage: float
    bounds: Mapping[str, Mapping[str, tuple[float, float]]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, volumes_ml: Mapping[str, float], available: ArrayLike) -> dict[str, tuple[float, float]]:
        """Region to the ends of its interval, in millilitres; of those that have one for what was read.

        Args:
            volumes_ml: region to what was marked.
            available: (modality,) bool.
        """
        pattern, found = pattern_of(available), {}
        for name, volume in volumes_ml.items():
            if pattern in self.bounds.get(name, {}):
                below, above = self.bounds[name][pattern]
                low, high = (max(0.0, np.cbrt(volume) + by) ** 3 for by in (-below, above))
                found[name] = round(float(low), 3), round(float(high), 3)
        return found


def volume_bounds(
    marked_ml: ArrayLike, true_ml: ArrayLike, subjects: Sequence[str], coverage: float
) -> tuple[float, float]:
    """By how much the cube root of a true volume may be below, and above, that of the marked one.

    Args:
        marked_ml: (study,).
        true_ml: (study,).
        subjects: whose each study is.
        coverage: how often the true volume is to lie between both.

    Returns:
        In millilitres to the third; infinite where the subjects are too few to promise the coverage.
    """
    above, names = np.cbrt(np.asarray(true_ml)) - np.cbrt(np.asarray(marked_ml)), np.asarray(subjects)
    return least_bound(-above, names, (1 + coverage) / 2), least_bound(above, names, (1 + coverage) / 2)
