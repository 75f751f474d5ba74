"""A nodule on CT and an uptake on PET: malignant where they are at one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from polyscan.phantom.tasks.task import Array, Streams, Task


def two_places(y: NDArray[np.int64], streams: Streams, places: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(subject,) where the nodule is, drawn evenly, and where the uptake: there too if y is 1, elsewhere if not."""
    nodule = streams("place").integers(places, size=len(y))
    away = streams("away").integers(1, places, size=len(y))
    return nodule, np.where(y == 1, nodule, (nodule + away) % places)


def apart_or_together(nodule: Array, uptake: Array) -> Array:
    """Log p(both scans | y), (subject, 2), from the (subject, place) log likelihood ratios l_1 and l_2 of each scan."""
    pairs = nodule[:, :, None] + uptake[:, None, :]
    same = np.eye(pairs.shape[1], dtype=bool)
    return np.stack([logsumexp(pairs[:, which], axis=1) - np.log(which.sum()) for which in (~same, same)], axis=1)


class Coincidence(Task):
    """x_m = a at place k_m + noise N(0, 1), k_1 uniform; y = 1: k_2 = k_1; y = 0: k_2 one of the others.

    With l_m(k) = a x_m(k), p(x | 1) is the mean of exp(l_1(k) + l_2(k)) over k and p(x | 0) that of
    exp(l_1(k) + l_2(j)) over k and j != k; either modality alone is at chance.
    """

    def __init__(self, strength: float = 4.5, places: int = 12) -> None:
        super().__init__(
            "Whether an uptake lies where the nodule is: each scan alone is at chance, and what pools places too.",
            ["CT", "PET"],
            (places,),
            ["apart", "together"],
        )
        self.strength, self.places = strength, places

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        n = len(y)
        nodule, uptake = two_places(y, streams, self.places)
        x = self.noise(n, streams)
        x[np.arange(n), 0, nodule] += self.strength
        x[np.arange(n), 1, uptake] += self.strength
        return x

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        if not available.all():
            return np.zeros((len(x), 2))
        return apart_or_together(self.strength * x[:, 0], self.strength * x[:, 1])


TASK = Coincidence()
