"""Canonical variates of whole studies, as input of a classifier: linear, regularised or kernel CCA."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscan.errors import PolyscanError


class CanonicalProjection:
    """Any multi-view estimator of cca-zoo between studies that lack modalities and a classifier of scikit-learn.

    The estimator is fitted on the studies that have every modality. To transform, what a study lacks enters as the mean
    of the cohort and its variates are set aside: the output is the mean of the variates of the modalities that are
    there. Inside a network, :class:`polyscan.fusion.CanonicalCorrelation` does the same with gradients.

    Args:
        estimator: with ``fit(views)`` and ``transform(views)`` on a list of (study, feature) arrays, such as
            ``cca_zoo.linear.CCA``, ``cca_zoo.linear.RidgeCCA`` or ``cca_zoo.nonparametric.KCCA``.

    Example:
        >>> from cca_zoo.nonparametric import KCCA
        >>> projection = CanonicalProjection(KCCA(n_components=2, kernel="rbf"))
        >>> variates = projection.fit(features).transform(features)
        >>> LogisticRegression().fit(variates, labels).coef_.shape
        (1, 2)
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self._mean: NDArray[np.float64] | None = None

    def fit(self, features: ArrayLike) -> CanonicalProjection:
        """Learn the projections.

        Args:
            features: (study, modality, feature); NaN where a study lacks a modality.

        Raises:
            PolyscanError: fewer than three studies have every modality.
        """
        x, available = _checked(features)
        complete = x[available.all(axis=1)]
        if len(complete) < 3:
            raise PolyscanError(f"{len(complete)} of {len(x)} studies have every modality; CCA needs three at least.")
        self._mean = complete.mean(0)
        self.estimator.fit(list(complete.swapaxes(0, 1)))
        return self

    def transform(self, features: ArrayLike) -> NDArray[np.float64]:
        """Turn (study, modality, feature), NaN where absent, into (study, component)."""
        if self._mean is None:
            raise PolyscanError("This projection was not fitted; call fit with a cohort's features first.")
        x, available = _checked(features)
        filled = np.where(available[:, :, None], x, self._mean)
        variates = np.stack(self.estimator.transform(list(filled.swapaxes(0, 1))), axis=1)
        weights = available / available.sum(1, keepdims=True)
        return np.einsum("sm,smc->sc", weights, variates)


def _checked(features: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The features and which modalities are there; a study without any is refused."""
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 3:
        raise PolyscanError(f"features have shape {x.shape}; expected (study, modality, feature).")
    available = np.asarray(np.isfinite(x).all(axis=2))
    if not available.any(axis=1).all():
        raise PolyscanError(
            f"{int((~available.any(axis=1)).sum())} of {len(x)} studies have no modality; leave them out."
        )
    return x, available
