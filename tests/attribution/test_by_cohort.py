"""Features of a cohort in two dimensions, and which modality is used."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from polyscan.attribution.by_cohort import tsne_map, umap_map, utilisation
from polyscan.errors import PolyscanError


@pytest.fixture
def groups():
    """Two groups of studies far apart in twenty channels, one of which is constant."""
    features = np.random.default_rng(0).normal(size=(40, 20))
    features[20:, :5] += 8
    features[:, 19] = 3
    return features


def test_groups_stay_apart(groups):
    placed = tsne_map(groups)
    assert placed.shape == (40, 2)
    away = np.linalg.norm(placed[:, None] - placed[None], axis=2) + np.diag(np.full(40, np.inf))
    assert ((away.argmin(1) >= 20) == (np.arange(40) >= 20)).all()
    assert np.array_equal(placed, tsne_map(groups))


def test_few_studies_are_refused(groups):
    with pytest.raises(PolyscanError, match="needs 5 studies at least; there are 4"):
        tsne_map(groups[:4])


def test_umap_says_what_it_needs(groups, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(PolyscanError, match=r"polyscan\[umap\]"):
        umap_map(groups)


def test_utilisation_is_the_mean_part_of_those_that_are_there():
    used = utilisation([{"CT": 0.3, "PET": -0.1}, {"PET": 0.2}, {"CT": 0.0, "PET": 0.0}])
    assert used == pytest.approx({"CT": 0.75, "PET": 0.625})
