"""A scan shows where, the other what, as images; and one is moved against the other."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from polyscan.phantom.tasks.lesion import PLACES, SHAPE, images, matched
from polyscan.phantom.tasks.task import Array, Streams, Task


class MisalignmentImages(Task):
    """T1c has a lesion of amplitude a at one of 16 places, PET one of +b or -b at each: there the class sets the sign.

    The other signs are chance, and PET is moved as a whole by s, uniform on -w ... w along each axis. With
    l(p, s) = b <x_2, T_p moved by s>, p(x | y) is the mean over p and s of
    exp(a <x_1, T_p>) exp((2y - 1) l(p, s)) prod_(q != p) cosh l(q, s).
    """

    def __init__(self, amplitude: float = 0.9, contrast: float = 0.35, shift: int = 2) -> None:
        super().__init__(
            "What a lesion is, by a scan of many alike that is moved against the one that shows where it is.",
            ["T1c", "PET"],
            SHAPE,
            ["benign", "malignant"],
        )
        self.amplitude, self.contrast, self.shift = amplitude, contrast, shift

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        n, rows = len(y), np.arange(len(y))
        place = streams("place").integers(len(PLACES), size=n)
        shift = streams("shift").integers(-self.shift, self.shift + 1, size=(n, 2))
        signs = streams("signs").choice([-1.0, 1.0], (n, len(PLACES)))
        signs[rows, place] = 2 * y - 1
        where, what = images(self.amplitude * np.eye(len(PLACES))[place]), images(self.contrast * signs, shift)
        return np.stack([where, what], axis=1) + self.noise(n, streams)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        if not available[1]:
            return np.zeros((len(x), 2))
        shifts = np.array(list(product(range(-self.shift, self.shift + 1), repeat=2)))
        place = self.amplitude * matched(x[:, 0]) if available[0] else np.zeros((len(x), len(PLACES)))
        told = self.contrast * matched(x[:, 1], shifts)  # (subject, shift, place)
        either = np.logaddexp(-told, told)
        others = either.sum(axis=2, keepdims=True) - either
        each = (place[:, None] + others)[..., None] + told[..., None] * np.array([-1.0, 1.0])
        return logsumexp(each, axis=(1, 2))


TASK = MisalignmentImages()
