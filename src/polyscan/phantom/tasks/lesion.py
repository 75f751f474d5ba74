"""Lesions in a small image: one known form at some of the places of a lattice, in white noise."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import correlate1d

from polyscan.phantom.tasks.task import Array

SHAPE = (24, 24)
PLACES = np.array(list(product((4, 9, 14, 19), repeat=2)))
"""(place, 2): lesions of neighbours do not overlap, and all may be moved by two pixels without leaving the image."""
ENERGY = 24.0
"""Sum of squares of a lesion: in noise of variance 1 an amplitude a is seen as a + N(0, 1/ENERGY)."""

_PROFILE = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 1.2**2))
_PROFILE *= ENERGY**0.25 / np.linalg.norm(_PROFILE)


def images(amplitudes: Array, shift: ArrayLike = (0, 0)) -> Array:
    """Draw lesions, Gaussians of 1.2 pixels cut off to 5 x 5, without noise.

    Args:
        amplitudes: (subject, place).
        shift: pixels by which all lesions are moved, (2,) or (subject, 2).

    Returns:
        (subject, x, y).
    """
    points = np.zeros((len(amplitudes), *SHAPE))
    x, y = np.moveaxis(PLACES + np.asarray(shift)[..., None, :], -1, 0)
    points[np.arange(len(points))[:, None], x, y] = amplitudes
    return _correlated(points)


def matched(image: Array, shift: ArrayLike = (0, 0)) -> Array:
    """The matched filter <x, T_p>: all that an image tells of the amplitude of a lesion T_p at each place.

    Args:
        image: (subject, x, y).
        shift: pixels by which the lesions that are asked for are moved, (..., 2).

    Returns:
        (subject, ..., place).
    """
    x, y = np.moveaxis(PLACES + np.asarray(shift)[..., None, :], -1, 0)
    return _correlated(image)[:, x, y]


def evidence(g: Array, mean: float) -> Array:
    """Log p(image | a lesion of an amplitude from N(mean, 1)) / p(image | none there), from the matched filter.

    log int N(a; m, 1) exp(g a - E a^2 / 2) da = ((g + m)^2 / (1 + E) - m^2 - log(1 + E)) / 2.
    """
    return ((g + mean) ** 2 / (1 + ENERGY) - mean**2 - np.log(1 + ENERGY)) / 2


def _correlated(image: Array) -> Array:
    """Correlate (subject, x, y) with a lesion, which is the same along both axes."""
    along_x = correlate1d(image, _PROFILE, axis=1, mode="constant")
    return correlate1d(along_x, _PROFILE, axis=2, mode="constant")
