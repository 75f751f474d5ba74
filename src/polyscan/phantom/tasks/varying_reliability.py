"""Modalities that are good in one subject and spoiled in the next, which can be seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscan.phantom.tasks.task import Array, Streams, Task


class VaryingReliability(Task):
    """x_m = (y d + s_m n, log s_m, ...) with y = -1/2, +1/2, n ~ N(0, 1), and s_m one of two, each as often.

    The log odds are sum_m d e_m / s_m^2: precision weighting. The other values are noise.
    """

    def __init__(self, distance: float = 1.5, deviations: tuple[float, float] = (0.7, 3.0), size: int = 4) -> None:
        super().__init__(
            "A diagnosis from four contrasts, each spoiled in half of the subjects; a value beside tells by how much.",
            ["T1", "T1c", "T2", "FLAIR"],
            (size,),
            ["no", "yes"],
        )
        self.distance, self.deviations = distance, deviations

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        x = self.noise(len(y), streams)
        for m, name in enumerate(self.modalities):
            deviation = streams("reliability", name).choice(self.deviations, len(y))
            x[:, m, 0] = (y - 0.5) * self.distance + deviation * x[:, m, 0]
            x[:, m, 1] = np.log(deviation)
        return x

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        evidence, log_deviation = x[:, available, 0], x[:, available, 1]
        odds = (self.distance * evidence / np.exp(2 * log_deviation)).sum(axis=1)
        return np.stack([-odds / 2, odds / 2], axis=1)


TASK = VaryingReliability()
