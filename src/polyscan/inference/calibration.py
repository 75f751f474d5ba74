"""Probabilities that mean what they say, whichever modalities are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from polyscan.errors import PolyscanError
from polyscan.study.prediction import CalibrationMethod

_PRIOR = 1.0
"""How strongly the parts of single modalities and classes are held at 0: precision of a normal distribution, against a
sum over studies."""


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

    NAME: ClassVar[str] = "temperature scaling"
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
        everything, absent, _, _ = _likeliest(logits, target, available, by_class=False)
        return cls(tuple(modalities), everything, absent)

    def temperature(self, available: NDArray) -> NDArray:
        """(...,) of patterns (..., modality) bool."""
        return np.exp(self.everything + (~np.asarray(available, dtype=bool)) @ np.asarray(self.absent))

    def probabilities(self, logits: NDArray, available: NDArray) -> NDArray:
        """(..., class) of logits (..., class) and patterns (..., modality) bool, or one pattern for all."""
        return softmax(np.asarray(logits, dtype=np.float64) / self.temperature(available)[..., None], axis=-1)


@dataclass(frozen=True)
class VectorScaling:
    """A factor and an offset of the logits of each class, beside a temperature that rises with what is missing.

    Vector scaling (Guo et al., ICML 2017, section 4.2), which takes away that a class is named too often. The
    temperature of the pattern divides the offsets too, so that fewer modalities never make a prediction sharper. Where
    studies are few the offsets stay near 0 and the factors near each other.

    Attributes:
        temperature: of the pattern; 1 where all modalities are there, since the factors hold the rest.
        factors: of each class.
        offsets: of each class, in logits where all modalities are there.
    """

    NAME: ClassVar[str] = "vector scaling"
    temperature: AvailabilityTemperature
    factors: tuple[float, ...]
    offsets: tuple[float, ...]

    @classmethod
    def fit(cls, logits: NDArray, target: NDArray, available: NDArray, modalities: tuple[str, ...]) -> VectorScaling:
        """As :meth:`AvailabilityTemperature.fit`."""
        everything, absent, classes, offsets = _likeliest(logits, target, available, by_class=True)
        factors = tuple(np.exp(-(everything + np.asarray(classes))).tolist())
        return cls(AvailabilityTemperature(tuple(modalities), 0.0, absent), factors, offsets)

    def probabilities(self, logits: NDArray, available: NDArray) -> NDArray:
        """As :meth:`AvailabilityTemperature.probabilities`."""
        return self.temperature.probabilities(np.asarray(logits) * self.factors + self.offsets, available)


@dataclass(frozen=True)
class IsotonicCalibration:
    """A rising curve for each class against the rest, of the probability at the temperature of the pattern.

    Isotonic regression of each class, normalised (Zadrozny and Elkan, KDD 2002), after temperature scaling (Guo et
    al., ICML 2017), since one curve holds for all patterns of availability. No curve reaches 0 or 1: of n studies it
    stays within 1 / (n + 2) and (n + 1) / (n + 2), the rule of succession. Unlike a temperature, it can change which
    class is the likeliest, and one that is level over a range tells no studies in it apart.

    Attributes:
        temperature: of the pattern.
        scores: of each class, where its curve bends, rising.
        values: of each class, the curve there; linear between, level beyond.
    """

    NAME: ClassVar[str] = "isotonic regression after temperature scaling"
    temperature: AvailabilityTemperature
    scores: tuple[tuple[float, ...], ...]
    values: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(
        cls, logits: NDArray, target: NDArray, available: NDArray, modalities: tuple[str, ...]
    ) -> IsotonicCalibration:
        """As :meth:`AvailabilityTemperature.fit`."""
        from sklearn.isotonic import IsotonicRegression

        temperature = AvailabilityTemperature.fit(logits, target, available, modalities)
        least = 1 / (len(logits) + 2)
        curves = [
            IsotonicRegression(y_min=least, y_max=1 - least).fit(p, np.asarray(target) == k)
            for k, p in enumerate(temperature.probabilities(logits, available).T)
        ]
        scores, values = (
            tuple(tuple(bends.tolist()) for bends in each)
            for each in ([c.X_thresholds_ for c in curves], [c.y_thresholds_ for c in curves])
        )
        return cls(temperature, scores, values)

    def probabilities(self, logits: NDArray, available: NDArray) -> NDArray:
        """As :meth:`AvailabilityTemperature.probabilities`."""
        p = self.temperature.probabilities(logits, available)
        curves = zip(self.scores, self.values, strict=True)
        risen = np.stack([np.interp(p[..., k], *curve) for k, curve in enumerate(curves)], axis=-1)
        return risen / risen.sum(-1, keepdims=True)


Calibration = AvailabilityTemperature | VectorScaling | IsotonicCalibration
CALIBRATIONS: dict[CalibrationMethod, type[Calibration]] = {
    "temperature": AvailabilityTemperature,
    "vector": VectorScaling,
    "isotonic": IsotonicCalibration,
}


def _likeliest(
    logits: NDArray, target: NDArray, available: NDArray, *, by_class: bool
) -> tuple[float, tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Log-temperature where all modalities are there; what absent ones add; what classes add, and their offsets."""
    if len(logits) < 10:
        raise PolyscanError(f"Calibration needs ten labelled studies at least; there are {len(logits)}.")
    z = np.asarray(logits, dtype=np.float64)
    missing = (~np.asarray(available, dtype=bool)).astype(np.float64)
    true = np.eye(z.shape[1])[np.asarray(target, dtype=np.intp)]
    places = np.cumsum([1, missing.shape[1], z.shape[1]])

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        everything, absent, classes, offsets = np.split(parameters, places)
        softer = np.exp(-(missing @ absent))[:, None]
        factored = z * np.exp(-(everything + classes)) * softer
        scaled = factored + offsets * softer
        log_p = log_softmax(scaled, axis=1)
        error = np.exp(log_p) - true  # slope of the negative log-likelihood by each scaled logit
        of_classes = -(error * factored).sum(0)
        of_absent = -missing.T @ (error * scaled).sum(1)
        slope = np.concatenate([[of_classes.sum()], of_absent, of_classes, (error * softer).sum(0)])
        held = np.concatenate([[0.0], parameters[1:]])
        return float(_PRIOR * (held**2).sum() / 2 - (log_p * true).sum()), slope + _PRIOR * held

    of_class = (-5.0, 5.0) if by_class else (0.0, 0.0)
    bounds = [(-5.0, 5.0), *[(0.0, 5.0)] * missing.shape[1], *[of_class] * (2 * z.shape[1])]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds)
    everything, *rest = (tuple(part.tolist()) for part in np.split(found.x, places))
    return everything[0], *rest
