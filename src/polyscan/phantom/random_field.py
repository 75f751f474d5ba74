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
        self._phases = generator.uniform(0, 2 * np.pi, (features, components)).astype(np.float32)
        self._scale = np.float32(np.sqrt(2 / features))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The (point, component) values at (point, 3) coordinates in millimetres."""
        angles = points.astype(np.float32, copy=False) @ self._frequencies
        if self._phases.shape[1] == 1:
            angles += self._phases[:, 0]
            return self._scale * np.cos(angles, out=angles).sum(1, keepdims=True)
        # cos(a + p) = cos a cos p - sin a sin p: one pair of them for all components.
        phases = self._phases
        return self._scale * (np.cos(angles) @ np.cos(phases) - np.sin(angles) @ np.sin(phases))
