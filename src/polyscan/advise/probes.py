"""What simple models make of a cohort's vectors: what it is like, before any network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_STUDIES = 1500
MAX_VALUES = 400
"""Beyond which products of values are not probed: they are too many for what a cohort holds."""


@dataclass(frozen=True)
class Probes:
    """AUROC of simple models, each class against the others, by three-fold cross-validation.

    Attributes:
        alone: modality to that of logistic regression on it alone.
        together: of logistic regression on everything.
        products: of a support vector machine on everything and the products of two values (a polynomial kernel of
            degree 2); that of ``together`` where there are too many values.
    """

    alone: dict[str, float]
    together: float
    products: float

    @property
    def best_alone(self) -> float:
        """The highest of one modality."""
        return max(self.alone.values())

    @property
    def joint_gain(self) -> float:
        """What all modalities tell more than the best one, added up."""
        return self.together - self.best_alone

    @property
    def product_gain(self) -> float:
        """What is told by pairs of values and by none of them alone."""
        return self.products - self.together


def probe(x: NDArray[Any], y: NDArray[np.int64], patients: NDArray[Any], modalities: list[str]) -> Probes | None:
    """Probe a cohort.

    Args:
        x: (study, modality, value); NaN is not recorded.
        y: (study,) the class, an index.
        patients: (study,) a patient's studies are never on both sides.
        modalities: names.

    Returns:
        None where a class has fewer than six patients.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.svm import SVC

    if len(y) > MAX_STUDIES:
        rows = np.random.default_rng(0).choice(len(y), MAX_STUDIES, replace=False)
        x, y, patients = x[rows], y[rows], patients[rows]
    classes = np.unique(y)
    if len(classes) < 2 or min(len(set(patients[y == k])) for k in classes) < 6:
        return None
    folds = list(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(y, y, patients))

    def area(values: NDArray[Any], model: Any) -> float:
        return float(np.nanmean([_area(values, y, train, test, model) for train, test in folds]))

    logistic = LogisticRegression(C=0.1, max_iter=300)
    alone = {name: area(x[:, m], logistic) for m, name in enumerate(modalities)}
    everything = x.reshape(len(x), -1)
    everything = everything[:, np.isfinite(everything).any(0)]
    together = area(everything, logistic)
    few = everything.shape[1] <= MAX_VALUES
    kernel = SVC(kernel="poly", degree=2, coef0=1.0, C=0.3, gamma="scale")
    return Probes(alone, together, max(together, area(everything, kernel)) if few else together)


def _area(
    values: NDArray[Any], y: NDArray[np.int64], train: NDArray[np.intp], test: NDArray[np.intp], model: Any
) -> float:
    from sklearn.base import clone
    from sklearn.impute import SimpleImputer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from polyscan.evaluation import auroc

    imputed = SimpleImputer(strategy="mean", add_indicator=True, keep_empty_features=True)
    fitted = make_pipeline(imputed, StandardScaler(), OneVsRestClassifier(clone(model))).fit(values[train], y[train])
    scores = fitted.decision_function(values[test])
    if scores.ndim == 1:
        return auroc(scores, y[test] == fitted.classes_[1])
    return float(np.nanmean([auroc(scores[:, k], y[test] == c) for k, c in enumerate(fitted.classes_)]))
