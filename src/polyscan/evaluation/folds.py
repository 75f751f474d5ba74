"""Patients dealt out to the folds of a cross-validation."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np


def deal_folds(groups: Sequence[Hashable], strata: Sequence[Hashable], folds: int, seed: int = 0) -> list[int]:
    """A fold for each study: those of a group share one, and folds have about as many studies of each stratum.

    Folds are no more than the groups. Where no stratum has as many studies, they are dealt out as though all were of
    one.

    Args:
        groups: (study,) such as the patient.
        strata: (study,) such as the class.
        folds: how many.
        seed: another one deals them out in another way.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    dealt, folds = np.zeros(len(groups), dtype=int), min(folds, len(set(groups)))
    if folds < 2:
        return dealt.tolist()
    if max(Counter(strata).values()) < folds:
        strata = [""] * len(groups)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strata with fewer studies than folds
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(groups, strata, groups)
        for fold, (_, held_out) in enumerate(split):
            dealt[held_out] = fold
    return dealt.tolist()
