"""The diagnosis of four contrasts in images: the lesion has to be found first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from polyscan.phantom.tasks.lesion import PLACES, SHAPE, evidence, images, matched
from polyscan.phantom.tasks.task import Array, Streams, Task


class DiagnosisImages(Task):
    """A lesion at one of 16 places, the same in all contrasts; its amplitude is N(b_m + y d, 1), with y = -1/2, +1/2.

    b_m is 5 in T1c, which takes up contrast agent, and 2 elsewhere; d is that of the task ``diagnosis``. p(x | y) is a
    mean over places of prod_m p(x_m | place, y), with the amplitudes integrated out, see
    :func:`polyscan.phantom.tasks.lesion.evidence`. The noise of the pixels adds 1/24 to the variance of the evidence,
    and the place is not known: the best accuracy is a little below that of ``diagnosis``.
    """

    def __init__(self, distance: float = 1.645) -> None:
        self.brightness = {"T1": 2.0, "T1c": 5.0, "T2": 2.0, "FLAIR": 2.0}
        super().__init__(
            "A diagnosis from how bright a lesion is in four contrasts, once it is found.",
            list(self.brightness),
            SHAPE,
            ["no", "yes"],
        )
        self.distance = distance

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        at = np.eye(len(PLACES))[streams("place").integers(len(PLACES), size=len(y))]
        shown = []
        for name, brightness in self.brightness.items():
            amplitude = brightness + (y - 0.5) * self.distance + streams("amplitude", name).standard_normal(len(y))
            shown.append(images(amplitude[:, None] * at))
        return np.stack(shown, axis=1) + self.noise(len(y), streams)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        brightness = np.array(list(self.brightness.values()))
        each = np.zeros((2, len(x), len(PLACES)))
        for m in np.flatnonzero(available):
            filtered = matched(x[:, m])
            for k, sign in enumerate((-0.5, 0.5)):
                each[k] += evidence(filtered, brightness[m] + sign * self.distance)
        return logsumexp(each, axis=2).T


TASK = DiagnosisImages()
