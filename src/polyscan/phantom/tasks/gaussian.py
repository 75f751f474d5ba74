"""Tasks in which all modalities together are Gaussian about a mean that the class sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from polyscan.phantom.tasks.task import Array, Streams, Task, direction


class GaussianTask(Task):
    """Two classes y = -1/2, +1/2; modality m measures x_m = y d_m u_m + sum_f z_f a_mf + noise, all N(0, 1).

    u_m is a direction among the values of m. The factors z are shared by modalities: what disturbs several alike (a
    nuisance), or what they show together. With the mean difference D and covariance C of the values that are there, the
    log posterior odds are D^T C^-1 x and the best accuracy is Phi(sqrt(D^T C^-1 D) / 2) (Fisher's discriminant).

    Args:
        description: see :class:`Task`.
        distances: modality to d_m.
        factors: name of a factor to its strength in each modality that shows it; it lies in the modality's direction of
            the factor's name, in u_m itself where the name is ``"evidence"``.
        size: values of a modality.
        classes: names.
    """

    def __init__(
        self,
        description: str,
        distances: Mapping[str, float],
        factors: Mapping[str, Mapping[str, float]] | None = None,
        *,
        size: int = 8,
        classes: Sequence[str] = ("no", "yes"),
    ) -> None:
        super().__init__(description, list(distances), (size,), classes)
        self.difference = np.stack([d * direction(size, name, "evidence") for name, d in distances.items()])
        self.factors = {
            factor: np.stack([strengths.get(name, 0.0) * direction(size, name, factor) for name in distances])
            for factor, strengths in (factors or {}).items()
        }

    def measure(self, y: NDArray[np.int64], streams: Streams) -> Array:
        x: Array = (y - 0.5)[:, None, None] * self.difference
        for factor, loading in self.factors.items():
            x = x + streams("factor", factor).standard_normal(len(y))[:, None, None] * loading
        return x + self.noise(len(y), streams)

    def log_likelihood(self, x: Array, available: NDArray[np.bool_]) -> Array:
        values = x[:, available].reshape(len(x), -1)
        odds = values @ self._weights(available)
        return np.stack([-odds / 2, odds / 2], axis=1)

    def optimum(self, modalities: Sequence[str] | None = None) -> float:
        """The best accuracy on endless subjects, from some modalities or all."""
        available = np.array([modalities is None or name in modalities for name in self.modalities])
        squared = self.difference[available].ravel() @ self._weights(available)
        return float(norm.cdf(np.sqrt(squared) / 2))

    def _weights(self, available: NDArray[np.bool_]) -> Array:
        difference = self.difference[available].ravel()
        covariance = np.eye(len(difference))
        for loading in self.factors.values():
            a = loading[available].ravel()
            covariance += np.outer(a, a)
        return np.asarray(np.linalg.solve(covariance, difference), dtype=float)
