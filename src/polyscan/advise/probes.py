"""What simple models make of a cohort's vectors: what it is like, before any network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from polyscan.evaluation import auroc
from polyscan.evaluation.folds import deal_folds

MAX_STUDIES = 1500
MAX_VALUES = 400
"""Beyond which products of values are not probed: they are too many for what a cohort holds."""


@dataclass(frozen=True)
class Probes:
    """AUROC of simple models, each class against the others, by three-fold cross-validation.

    Attributes:
        alone: modality to that of logistic regression on it alone.
        together: of logistic regression on everything.
        within: of a support vector machine on everything and the products of two values of one modality (a sum of
            polynomial kernels of degree 2, one a modality); no less than ``together``.
        products: the same with products of any two values; no less than ``within``. Both are ``together`` where there
            are too many values.
    """

    alone: dict[str, float]
    together: float
    within: float
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
    def within_gain(self) -> float:
        """What pairs of values of one modality tell, and none of them alone."""
        return self.within - self.together

    @property
    def across_gain(self) -> float:
        """What pairs of values of two modalities tell, and nothing within one."""
        return self.products - self.within


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
    if len(y) > MAX_STUDIES:
        rows = np.random.default_rng(0).choice(len(y), MAX_STUDIES, replace=False)
        x, y, patients = x[rows], y[rows], patients[rows]
    classes = np.unique(y)
    if len(classes) < 2 or min(len(set(patients[y == k])) for k in classes) < 6:
        return None
    folds = np.array(deal_folds(patients.tolist(), y.tolist(), 3))

    def area(values: NDArray[Any], model: Any) -> float:
        return float(np.nanmean([_area(values, y, folds == fold, model) for fold in range(3)]))

    logistic = LogisticRegression(C=0.1, max_iter=300)
    alone = {name: area(x[:, m], logistic) for m, name in enumerate(modalities)}
    everything = x.reshape(len(x), -1)
    recorded = np.isfinite(everything).any(0)
    everything, owner = everything[:, recorded], np.repeat(np.arange(x.shape[1]), x.shape[2])[recorded]
    together = within = products = area(everything, logistic)
    if everything.shape[1] <= MAX_VALUES:
        of_each = [np.flatnonzero(owner == m) for m in np.unique(owner)]
        within = max(together, area(everything, SVC(kernel=ProductsOf(of_each), C=0.3)))
        products = max(within, area(everything, SVC(kernel=ProductsOf([np.arange(len(owner))]), C=0.3)))
    return Probes(alone, together, within, products)


@dataclass(frozen=True)
class ProductsOf:
    """A kernel whose features are all values, and the products of two values of one group.

    k(a, b) = a.b / n + sum over groups of (a_g.b_g / n + 1)^2, n the number of values that groups are made of: a sum of
    kernels is a kernel (Shawe-Taylor and Cristianini, Kernel Methods for Pattern Analysis, 2004).

    Attributes:
        groups: places of the values of each; values behind them, such as which were recorded, enter by themselves.
    """

    groups: list[NDArray[np.intp]]

    def __call__(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        """(study, value) and (other study, value) to (study, other study)."""
        n = sum(map(len, self.groups))
        found: NDArray[Any] = a @ b.T / n
        for group in self.groups:
            found = found + (a[:, group] @ b[:, group].T / n + 1) ** 2
        return found


def _area(values: NDArray[Any], y: NDArray[np.int64], test: NDArray[np.bool_], model: Any) -> float:
    imputed = SimpleImputer(strategy="mean", add_indicator=True, keep_empty_features=True)
    fitted = make_pipeline(imputed, StandardScaler(), OneVsRestClassifier(clone(model))).fit(values[~test], y[~test])
    scores = fitted.decision_function(values[test])
    if scores.ndim == 1:
        return auroc(scores, y[test] == fitted.classes_[1])
    return float(np.nanmean([auroc(scores[:, k], y[test] == c) for k, c in enumerate(fitted.classes_)]))
