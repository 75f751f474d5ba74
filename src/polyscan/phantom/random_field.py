"""Smooth random fields that can be asked for at any coordinate, so that nothing made from them needs a grid."""

from __future__ import annotations

import numpy as np


class RandomField:
    """A Gaussian-like random field of mean 0 and variance 1, as random Fourier features.

    f(x) = sqrt(2 / K) sum_k cos(w_k . x + p_k) with w_k drawn from a normal distribution (Rahimi and Recht, NeurIPS
    2007, algorithm 1), which approximates a field of squared-exponential covariance with the given length.

    Args:
        generator: draws the frequencies and phases.
        length: over which the field changes, in millimetres.
        components: how many independent fields share the frequencies.
        features: K; more make the field less regular.
    """

    def __init__(
        self, generator: np.random.Generator, length: float, *, components: int = 1, features: int = 32
    ) -> None:
        self._frequencies = generator.normal(size=(3, features)).astype(np.float32) / np.float32(length)
        phases = generator.uniform(0, 2 * np.pi, (features, components))
        scale = np.sqrt(2 / features)
        self._cosines = (scale * np.cos(phases)).astype(np.float32)
        self._sines = (scale * np.sin(phases)).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The (point, component) values at (point, 3) coordinates in millimetres."""
        angles = points.astype(np.float32) @ self._frequencies
        return np.cos(angles) @ self._cosines - np.sin(angles) @ self._sines
