"""Stacking: a logistic regression learns how far to trust which member."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from polyscan.errors import PolyscanError


class Stacking:
    """scikit-learn's logistic regression on the members' log-probabilities and on which of them are there.

    Wolpert, Stacked generalization, Neural Networks 1992. Fit it on answers for studies that the members were not
    trained on. An absent member enters as even odds with its flag at 0.

    Args:
        C: inverse strength of the L2 penalty.

    Example:
        >>> p = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.2, 0.8], [np.nan, np.nan]]])
        >>> Stacking().fit(p, [0, 1]).predict_proba(p).shape
        (2, 2)
    """

    def __init__(self, C: float = 1.0) -> None:  # noqa: N803  scikit-learn's own name
        self.C = C
        self._model: Any = None

    def fit(self, probabilities: ArrayLike, labels: ArrayLike) -> Stacking:
        """Learn from answers and truth.

        Args:
            probabilities: (study, member, class); NaN where a member has not answered.
            labels: (study,) index of the true class.

        Raises:
            PolyscanError: the shapes do not fit, or only one class occurs.
        """
        features, truth = _features(probabilities), np.asarray(labels)
        if truth.shape != (len(features),) or len(np.unique(truth)) < 2:
            raise PolyscanError(
                f"labels have shape {truth.shape} and {len(np.unique(truth))} classes; "
                f"expected ({len(features)},) and two classes at least."
            )
        self._model = LogisticRegression(C=self.C, max_iter=1000).fit(features, truth)
        return self

    def predict_proba(self, probabilities: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (study, class) of the classes that occurred in training, in rising order."""
        if self._model is None:
            raise PolyscanError("This stacking was not fitted; call fit with answers and labels first.")
        return self._model.predict_proba(_features(probabilities))


def _features(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Centred log-probabilities, zero where absent, and which members are there: (study, member * (class + 1))."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 3:
        raise PolyscanError(f"probabilities have shape {p.shape}; expected (study, member, class).")
    available = np.asarray(np.isfinite(p).all(axis=2))
    silent = int((~available.any(axis=1)).sum())
    if silent:
        raise PolyscanError(f"{silent} of {len(p)} studies have no member's answer; leave them out.")
    logs = np.log(np.where(available[:, :, None], np.clip(p, 1e-12, 1), 1.0))
    return np.concatenate([logs - logs.mean(2, keepdims=True), available[:, :, None]], axis=2).reshape(len(p), -1)
