"""Canonical variates before a classifier, with studies that lack a modality."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from polyscan.ensemble import CanonicalProjection
from polyscan.errors import PolyscanError

linear = pytest.importorskip("cca_zoo.linear", reason="cca-zoo is not installed")
nonparametric = pytest.importorskip("cca_zoo.nonparametric")


def cohort(seed=0):
    """A class that both modalities tell of, each in the midst of louder noise of its own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=200)
    x = rng.normal(size=(200, 2, 6)) * [1, 3, 3, 3, 3, 3]
    x[:, :, 0] += 3 * (2 * truth[:, None] - 1)
    return x, truth


@pytest.mark.parametrize(
    "estimator",
    [
        linear.CCA(n_components=1),
        linear.RidgeCCA(n_components=1, shrinkage=0.2),
        nonparametric.KCCA(n_components=1, kernel="rbf", gamma=0.01, shrinkage=0.5),
    ],
    ids=["CCA", "RidgeCCA", "KCCA"],
)
def test_one_variate_tells_the_class_whichever_modality_is_there(estimator):
    x, truth = cohort()
    x[100:150, 1] = np.nan
    projection = CanonicalProjection(estimator).fit(x[:100])
    classifier = LogisticRegression().fit(projection.transform(x[:100]), truth[:100])
    right = classifier.predict(projection.transform(x[100:])) == truth[100:]
    assert right[:50].mean() > 0.85, "with the first modality alone"
    assert right[50:].mean() > 0.9, "with both"


def test_what_cannot_be_projected_is_refused():
    x, _ = cohort()
    projection = CanonicalProjection(linear.CCA(n_components=1))
    with pytest.raises(PolyscanError, match="call fit"):
        projection.transform(x)
    x[2:, 0] = np.nan
    with pytest.raises(PolyscanError, match="2 of 200 studies have every modality"):
        projection.fit(x)
    x[3, 1] = np.nan
    with pytest.raises(PolyscanError, match="1 of 200 studies have no modality"):
        projection.fit(x)
    with pytest.raises(PolyscanError, match="expected \\(study, modality, feature\\)"):
        projection.fit(x[:, 0])
