"""Whether a scan is like those that a network was tried on, by the features that its encoder makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    the known subjects are cut into folds, and a new study is compared with those of each by the fit to all other folds.
    All studies of a subject together count as one, see :func:`polyscan.inference.conformal.least_bound`.

    Attributes:
        fits: one for each fold, to the studies of the others.
        distances: squared, of the studies of each subject of each fold.
    """

    fits: list[Components]
    distances: list[list[list[float]]]

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
        names, which = np.unique(np.asarray(subjects), return_inverse=True)
        if len(names) < AT_LEAST:
            raise ValueError(f"features are of {len(names)} subjects; expected at least {AT_LEAST}.")
        subject = which.ravel()
        fits = [Components.fit(x[subject % _FOLDS != k]) for k in range(_FOLDS)]
        of_folds = [range(k, len(names), _FOLDS) for k in range(_FOLDS)]
        distances = [
            [fit.distance(x[subject == s]).tolist() for s in fold] for fit, fold in zip(fits, of_folds, strict=True)
        ]
        return cls(fits, distances)

    def p_value(self, features: ArrayLike) -> float:
        """How often a study like the known ones is as far away, from (feature,); never below 1 / (subjects + 1)."""
        x = np.asarray(features, dtype=np.float64)[None]
        as_far = 0.0
        for fit, subjects in zip(self.fits, self.distances, strict=True):
            distance = float(fit.distance(x)[0])
            as_far += sum(np.mean(np.asarray(known) >= distance) for known in subjects)
        return float(1 + as_far) / (1 + sum(map(len, self.distances)))


def distances_of(seen: Mapping[str, Sequence[tuple[str, NDArray]]]) -> dict[str, FeatureDistance]:
    """Modality to the distance from its features, of (subject, features) of each study; of those that enough have."""
    return {
        name: FeatureDistance.fit([features for _, features in each], [subject for subject, _ in each])
        for name, each in seen.items()
        if len({subject for subject, _ in each}) >= AT_LEAST
    }
