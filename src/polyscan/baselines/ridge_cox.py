"""Cox's proportional hazards with a ridge penalty, as an estimator of scikit-learn."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator

from polyscan.evaluation import concordance_index


class RidgeCox(BaseEstimator):
    """Minus Cox's log partial likelihood with Breslow's ties, a patient with an event, plus alpha / 2 |beta|^2.

    Verweij and van Houwelingen, Statistics in Medicine 13, 1994. With more columns than patients it is solved in the
    space that the patients span, where the solution lies.

    Args:
        alpha: strength of the penalty.
    """

    def __init__(self, alpha: float = 0.1) -> None:
        self.alpha = alpha

    def fit(self, x: np.ndarray, y: np.ndarray) -> RidgeCox:
        """Learn from (patient, column) and (patient, 2): time, and 1 where the event was seen."""
        x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        basis = np.linalg.svd(x, full_matrices=False)[2].T if x.shape[1] > x.shape[0] else np.eye(x.shape[1])
        z, order = x @ basis, np.argsort(-y[:, 0], kind="stable")
        z, time, event = z[order], y[order, 0], y[order, 1]
        last = np.searchsorted(-time, -time, side="right") - 1  # at risk are all up to the last of equal times

        def objective(beta: np.ndarray) -> tuple[float, np.ndarray]:
            risk = z @ beta
            shift = risk.max()
            weight = np.exp(risk - shift)
            total = np.cumsum(weight)[last]
            loss = float((event * (np.log(total) + shift - risk)).sum() / event.sum())
            # Patient j is in the risk set of every event whose last index is at or behind j.
            each = np.bincount(last, event / total, minlength=len(risk))
            slope = weight * np.cumsum(each[::-1])[::-1] - event
            return loss + self.alpha / 2 * float(beta @ beta), z.T @ slope / event.sum() + self.alpha * beta

        found = minimize(objective, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B")
        self.coef_ = basis @ found.x
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Log risks (patient,)."""
        return np.asarray(x, dtype=float) @ self.coef_

    def score(self, x: np.ndarray, y: np.ndarray) -> float:
        """Harrell's c."""
        return concordance_index(self.predict(x), y[:, 0], y[:, 1])
