"""Whether a scan is like those that a network was tried on, by the features that its encoder makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

AT_LEAST = 20
"""Subjects below which nothing can be called rare."""
_AXES, _FOLDS = 8, 5


@dataclass(frozen=True)
class Components:
    """A mean, and a covariance of a few axes and one variance for every other direction.

    Probabilistic principal components (Tipping and Bishop, J R Stat Soc B 61, 1999) by maximum likelihood, since
    there are more features than studies.

    Attributes:
        mean: (feature,).
        axes: (axis, feature), orthonormal.
        variances: along each axis.
        residual: the variance along every other direction.
    """

    mean: list[float]
    axes: list[list[float]]
    variances: list[float]
    residual: float

    @classmethod
    def fit(cls, x: NDArray) -> Components:
        """Fit to (study, feature)."""
        mean = x.mean(0)
        _, singular, axes = np.linalg.svd(x - mean, full_matrices=False)
        variances = singular**2 / (len(x) - 1)
        smallest = max(1e-6 * float(variances[0]), 1e-12)  # features that never change must not be divided by 0
        kept = min(_AXES, len(variances) // 2)
        residual = float(variances[kept:].sum()) / (x.shape[1] - kept)
        along = np.maximum(variances[:kept], smallest).tolist()
        return cls(mean.tolist(), axes[:kept].tolist(), along, max(residual, smallest))

    def distance(self, x: NDArray) -> NDArray:
        """Squared Mahalanobis distances of (study, feature)."""
        centred = x - self.mean
        along = centred @ np.asarray(self.axes).reshape(-1, len(self.mean)).T
        rest = np.maximum((centred**2).sum(1) - (along**2).sum(1), 0.0)
        return np.asarray((along**2 / np.asarray(self.variances)).sum(1) + rest / self.residual)


@dataclass(frozen=True)
class FeatureDistance:
    """Mahalanobis distance of features to those of known studies (Lee et al., NeurIPS 2018, equation 2).

    Whether one is rare is told by a cross-conformal test (Vovk, Annals of Mathematics and AI 74, 2015):
    the known studies are cut into folds, and a new one is compared with those of each by the fit to all other folds.

    Attributes:
        fits: one for each fold, to the studies of the others.
        distances: squared, of the studies of each fold.
    """

    fits: list[Components]
    distances: list[list[float]]

    @classmethod
    def fit(cls, features: ArrayLike, subjects: Sequence[str]) -> FeatureDistance:
        """Fit on studies that the network was not trained on.

        Args:
            features: (study, feature).
            subjects: whose each study is; a subject is in one fold.

        Raises:
            ValueError: there are fewer than ``AT_LEAST`` subjects.
        """
        x = np.asarray(features, dtype=np.float64)
        order = {name: k for k, name in enumerate(sorted(set(subjects)))}
        if len(order) < AT_LEAST:
            raise ValueError(f"features are of {len(order)} subjects; expected at least {AT_LEAST}.")
        fold = np.array([order[name] % _FOLDS for name in subjects])
        fits = [Components.fit(x[fold != k]) for k in range(_FOLDS)]
        return cls(fits, [fit.distance(x[fold == k]).tolist() for k, fit in enumerate(fits)])

    def p_value(self, features: ArrayLike) -> float:
        """How often a study like the known ones is as far away, from (feature,); never below 1 / (studies + 1)."""
        x = np.asarray(features, dtype=np.float64)[None]
        as_far = 0
        for fit, known in zip(self.fits, self.distances, strict=True):
            as_far += int((np.asarray(known) >= fit.distance(x)).sum())
        return (1 + as_far) / (1 + sum(map(len, self.distances)))
