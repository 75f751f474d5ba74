"""What a network makes of a cohort: its features in two dimensions, and how much it uses each modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from polyscan.errors import PolyscanError

AT_LEAST = 5


def check_studies(count: int) -> None:
    """Refuse to map fewer studies than are needed.

    Raises:
        PolyscanError: there are fewer.
    """
    if count < AT_LEAST:
        raise PolyscanError(f"A map of features needs {AT_LEAST} studies at least; there are {count}.")


def tsne_map(features: NDArray) -> NDArray:
    """t-SNE (van der Maaten and Hinton, JMLR 9, 2008) of standardised features, by scikit-learn.

    Args:
        features: (study, channel); five studies at least.

    Returns:
        (study, 2). What is near stays near; distances between groups, and sizes of groups, mean nothing. The perplexity
        is 30, or a third of the studies where they are fewer than 90.

    Raises:
        PolyscanError: there are fewer studies.
    """
    standard = _standardised(features)
    perplexity = min(30.0, (len(standard) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(standard)


def umap_map(features: NDArray) -> NDArray:
    """UMAP (McInnes et al., arXiv 1802.03426) of standardised features, by umap-learn; see :func:`tsne_map`.

    Raises:
        PolyscanError: there are fewer than five studies, or umap-learn is not installed.
    """
    try:
        from umap import UMAP
    except ImportError:
        raise PolyscanError("UMAP needs umap-learn; install it with pip install 'polyscan[umap]'.") from None
    standard = _standardised(features)
    return UMAP(n_neighbors=min(15, len(standard) - 1), random_state=0, n_jobs=1).fit_transform(standard)


def utilisation(contributions: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """How much a network uses each modality: its part of the absolute Shapley values of a study, mean over studies.

    Args:
        contributions: of each answer, modality to its Shapley value. One that a study lacks has no part in it.

    Returns:
        Modality to its mean share, over the studies that have it.
    """
    shares: dict[str, list[float]] = {}
    for values in contributions:
        total = sum(map(abs, values.values()))
        for name, value in values.items() if total > 0 else ():
            shares.setdefault(name, []).append(abs(value) / total)
    return {name: sum(each) / len(each) for name, each in shares.items()}


def _standardised(features: NDArray) -> NDArray:
    check_studies(len(features))
    deviation = features.std(0)
    return (features - features.mean(0)) / np.where(deviation > 0, deviation, 1)
