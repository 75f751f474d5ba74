"""A scan shows where, the other what; and they are some places off each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from polyscan.phantom.tasks.task import Array, Streams, Task


class Misalignment(Task):
    """The first modality has a at place k; the second b t(j) at every place j, where t tells the class about k + s.

    t(j) are signs: that of the class at the three places about k + s, chance elsewhere; the shift s is uniform on
    -w ... w, around the end. With P(k | x_1) from the first, p(x_2 | y) is the mean over k and s of the product over
    the three places j of N(x_2(j); (2y - 1) b, 1) / (1/2 sum over both signs).
    """

    def __init__(self, strength: float = 5.0, contrast: float = 3.0, shift: int = 2, places: int = 16) -> None:
        super().__init__(
            "What a lesion is, by a scan that does not show where it is, up to two places off the scan that does.",
            ["T1c", "PET"],
            (places,),
            ["benign", "malignant"],
        )
        self.strength, self.contrast, self.shift, self.places = strength, contrast, shift, places

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        n, rows = len(y), np.arange(len(y))
        place = streams("place").integers(self.places, size=n)
        shift = streams("shift").integers(-self.shift, self.shift + 1, size=n)
        signs = streams("signs").choice([-1.0, 1.0], (n, self.places))
        for beside in (-1, 0, 1):
            signs[rows, (place + shift + beside) % self.places] = 2 * y - 1
        x = self.noise(n, streams)
        x[rows, 0, place] += self.strength
        x[:, 1] += self.contrast * signs
        return x

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        if not available[1]:
            return np.zeros((len(x), 2))
        place = self.strength * x[:, 0] if available[0] else np.zeros((len(x), self.places))
        shifted = [np.roll(place, s, axis=1) for s in range(-self.shift, self.shift + 1)]
        centre = logsumexp(np.stack(shifted), axis=0)  # log P(j is the lesion's centre in the second scan)
        signed = self.contrast * x[:, 1, :, None] * np.array([-1.0, 1.0])
        told = signed - np.logaddexp(signed[..., :1], signed[..., 1:])
        about = sum(np.roll(told, beside, axis=1) for beside in (-1, 0, 1))
        return logsumexp(centre[:, :, None] + about, axis=1)


TASK = Misalignment()
