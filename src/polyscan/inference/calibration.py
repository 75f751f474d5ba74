"""Probabilities that mean what they say, whichever modalities are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from polyscan.errors import PolyscanError

_PRIOR = 1.0
"""How strongly the parts of single modalities are held at 0: precision of a normal distribution, against a sum over
studies."""


@dataclass(frozen=True)
class AvailabilityTemperature:
    """A temperature for logits that rises with what is missing: log T = log T_all + the sum over absent modalities.

    Temperature scaling (Guo et al., ICML 2017) with one part for each absent modality, none of which is
    below 0, so that fewer modalities never make a prediction sharper. It holds for patterns of absence that no study
    had on which it was fitted.

    Attributes:
        modalities: in the order of the network's channels.
        everything: log-temperature where all are there.
        absent: what each absent modality adds to it.
    """

    modalities: tuple[str, ...]
    everything: float
    absent: tuple[float, ...]

    @classmethod
    def fit(
        cls, logits: NDArray, target: NDArray, available: NDArray, modalities: tuple[str, ...]
    ) -> AvailabilityTemperature:
        """Fit on studies that the network was not trained on, by their likelihood.

        Args:
            logits: (study, class).
            target: (study,) index of the true class.
            available: (study, modality) bool.
            modalities: their names.

        Raises:
            PolyscanError: fewer than ten studies.
        """
        if len(logits) < 10:
            raise PolyscanError(f"Calibration needs ten labelled studies at least; there are {len(logits)}.")
        z = np.asarray(logits, dtype=np.float64)
        missing = (~np.asarray(available, dtype=bool)).astype(np.float64)
        rows, target = np.arange(len(z)), np.asarray(target, dtype=np.intp)

        def loss(parameters: NDArray) -> tuple[float, NDArray]:
            everything, absent = parameters[0], parameters[1:]
            scaled = z * np.exp(-(everything + missing @ absent))[:, None]
            log_p = log_softmax(scaled, axis=1)
            expected = (np.exp(log_p) * scaled).sum(1)
            slope = scaled[rows, target] - expected  # of the negative log-likelihood by each study's log-temperature
            gradient = np.concatenate([[slope.sum()], missing.T @ slope + _PRIOR * absent])
            return float(-log_p[rows, target].sum() + _PRIOR * (absent**2).sum() / 2), gradient

        bounds = [(-5.0, 5.0)] + [(0.0, 5.0)] * len(modalities)
        found = minimize(loss, np.zeros(1 + len(modalities)), jac=True, method="L-BFGS-B", bounds=bounds)
        return cls(tuple(modalities), float(found.x[0]), tuple(map(float, found.x[1:])))

    def temperature(self, available: NDArray) -> NDArray:
        """(...,) of patterns (..., modality) bool."""
        return np.exp(self.everything + (~np.asarray(available, dtype=bool)) @ np.asarray(self.absent))
