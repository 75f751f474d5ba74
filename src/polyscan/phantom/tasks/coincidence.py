"""A nodule on CT and an uptake on PET: malignant where they are at one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from polyscan.phantom.tasks.task import Array, Streams, Task


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
        """See :class:`Task`."""
        n = len(y)
        nodule = streams("place").integers(self.places, size=n)
        away = streams("away").integers(1, self.places, size=n)
        uptake = np.where(y == 1, nodule, (nodule + away) % self.places)
        x = np.stack([streams("noise", name).standard_normal((n, self.places)) for name in self.modalities], axis=1)
        x[np.arange(n), 0, nodule] += self.strength
        x[np.arange(n), 1, uptake] += self.strength
        return x

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        """See :class:`Task`."""
        if not available.all():
            return np.zeros((len(x), 2))
        pairs = self.strength * (x[:, 0, :, None] + x[:, 1, None, :])
        same = np.eye(self.places, dtype=bool)
        together = logsumexp(pairs[:, same], axis=1) - np.log(self.places)
        apart = logsumexp(pairs[:, ~same], axis=1) - np.log(self.places * (self.places - 1))
        return np.stack([apart, together], axis=1)


TASK = Coincidence()
