"""A nodule on CT and an uptake on PET, as images: malignant where they are at one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscan.phantom.tasks.coincidence import apart_or_together, two_places
from polyscan.phantom.tasks.lesion import PLACES, SHAPE, images, matched
from polyscan.phantom.tasks.task import Array, Streams, Task


class CoincidenceImages(Task):
    """A lesion of amplitude a in each scan; y = 1: at one of 16 places; y = 0: at two different ones.

    As the task ``coincidence``, with l_m(k) = a <x_m, T_k> from the matched filter of each place: p(x | 1) is the mean
    of exp(l_1(k) + l_2(k)) over k, p(x | 0) that of exp(l_1(k) + l_2(j)) over k and j != k.
    """

    def __init__(self, amplitude: float = 0.65) -> None:
        super().__init__(
            "Whether an uptake lies where the nodule is: each scan alone is at chance, and what pools places too.",
            ["CT", "PET"],
            SHAPE,
            ["apart", "together"],
        )
        self.amplitude = amplitude

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        shown = [images(self.amplitude * np.eye(len(PLACES))[place]) for place in two_places(y, streams, len(PLACES))]
        return np.stack(shown, axis=1) + self.noise(len(y), streams)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        if not available.all():
            return np.zeros((len(x), 2))
        return apart_or_together(self.amplitude * matched(x[:, 0]), self.amplitude * matched(x[:, 1]))


TASK = CoincidenceImages()
