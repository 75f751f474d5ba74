"""Whether probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def expected_calibration_error(probabilities: ArrayLike, target: ArrayLike, bins: int = 15) -> float:
    """How far confidence lies from accuracy, over bins of equal width (Guo et al., ICML 2017, equation 3).

    Args:
        probabilities: (study, class).
        target: (study,) index of the true class.
        bins: of confidence.
    """
    p, y = _checked(probabilities, target)
    return _binned_gap(p.max(1), p.argmax(1) == y, bins)


def classwise_calibration_error(probabilities: ArrayLike, target: ArrayLike, bins: int = 15) -> float:
    """The same for the probability of each class, averaged over classes (Kull et al., NeurIPS 2019, classwise ECE)."""
    p, y = _checked(probabilities, target)
    return float(np.mean([_binned_gap(p[:, k], y == k, bins) for k in range(p.shape[1])]))


def brier_score(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Mean squared distance from the true class's unit vector (Brier, Monthly Weather Review 78, 1950): 0 to 2."""
    p, y = _checked(probabilities, target)
    return float(((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean())


def negative_log_likelihood(probabilities: ArrayLike, target: ArrayLike) -> float:
    """Mean of -log of the true class's probability, in nats."""
    p, y = _checked(probabilities, target)
    return float(-np.log(np.clip(p[np.arange(len(p)), y], 1e-12, None)).mean())


def area_under_risk_coverage(uncertainty: ArrayLike, wrong: ArrayLike) -> float:
    """Mean error rate of the surest 1, 2, ..., n studies (Geifman and El-Yaniv, NeurIPS 2017): lower is better.

    Studies that are equally uncertain are taken in every order: what counts is their mean.

    Args:
        uncertainty: (study,) higher where the answer is to be trusted less.
        wrong: (study,) bool, or a loss.
    """
    u, loss = np.asarray(uncertainty, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    _, inverse, counts = np.unique(u, return_inverse=True, return_counts=True)
    of_ties = np.bincount(inverse, weights=loss) / counts
    ordered = np.repeat(of_ties, counts)
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1)).mean())


def calibrated_error_quantile(probabilities: ArrayLike, quantile: float = 0.95, *, trials: int = 1000) -> float:
    """How large the calibration error of perfectly calibrated probabilities becomes by chance, with so many studies.

    The truth is drawn from the probabilities themselves (consistency resampling: Bröcker and Smith, Weather and
    Forecasting 22, 2007). An error below this says nothing against the network.
    """
    p, _ = _checked(probabilities, np.zeros(len(np.asarray(probabilities)), dtype=int))
    generator = np.random.default_rng(0)
    cumulated = p.cumsum(1)
    errors = []
    for _ in range(trials):
        drawn = (generator.random((len(p), 1)) > cumulated).sum(1).clip(max=p.shape[1] - 1)
        errors.append(expected_calibration_error(p, drawn))
    return float(np.quantile(errors, quantile))


def _binned_gap(confidence: NDArray, right: NDArray, bins: int) -> float:
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _checked(probabilities: ArrayLike, target: ArrayLike) -> tuple[NDArray, NDArray]:
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(target)
    if p.ndim != 2 or len(p) != len(y) or not len(p):
        raise ValueError(f"probabilities are {p.shape} and targets {y.shape}; expected (study, class) and (study,).")
    if not (np.isfinite(p).all() and np.isin(y, range(p.shape[1])).all()):
        raise ValueError(f"a probability is not finite, or a target is no index of {p.shape[1]} classes: leave it out.")
    return p, y.astype(np.intp)
