"""A class that neither modality tells: whether two signs agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyscan.phantom.tasks.task import Array, Streams, Task, direction


class Interaction(Task):
    """y = [s_1 = s_2] of two independent signs; x_m = s_m a u_m + noise N(0, 1).

    With e_m = u_m^T x_m, P(s_m = 1 | x_m) = sigmoid(2 a e_m); a sign is read rightly with p = Phi(a), and the best
    accuracy is 1/2 (1 + (2p - 1)^2). Any sum of a decision a modality stays at chance.
    """

    def __init__(self, strength: float = 2.0, size: int = 8) -> None:
        super().__init__(
            "Whether two scans agree: each alone is at chance, and so is any sum of separate decisions.",
            ["CT", "PET"],
            (size,),
            ["differ", "agree"],
        )
        self.loading = np.stack([strength * direction(size, name, "evidence") for name in self.modalities])

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        first = streams("sign").choice([-1, 1], len(y))
        signs = np.stack([first, first * (2 * y - 1)], axis=1)
        return signs[:, :, None] * self.loading + self.noise(len(y), streams)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        if not available.all():
            return np.zeros((len(x), 2))
        p = 1 / (1 + np.exp(-2 * (x * self.loading).sum(axis=2)))
        agree = p.prod(axis=1) + (1 - p).prod(axis=1)
        return np.log(np.stack([1 - agree, agree], axis=1).clip(1e-300))


TASK = Interaction()
