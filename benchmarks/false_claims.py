"""How often strategies that are alike are called different, by what ``polyscan compare`` requires of a claim.

    python benchmarks/false_claims.py [--cohorts 400] [--strategies 10]

Each strategy is a ridge regression on three values of its own, drawn by one law for all, so that none is better than
another, and all are compared with the first on the same folds, classes in equal parts. A row a cohort size and a number
of times that studies are shared out: the part of pairs with p of at most 0.05, and the part of cohorts in which any
strategy is called better or worse after Holm's correction; then both with the error that counts repeated folds as new
ones (Nadeau and Bengio's 1/J for all J).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from polyscan.evaluation import auroc
from polyscan.evaluation.statistics import corrected_difference, holm

FOLDS, VALUES, EFFECT, LEVEL = 5, 3, 0.8, 0.05
Array = NDArray[np.float64]


def fold_areas(patients: int, repeats: int, strategies: int, seed: int) -> Array:
    """AUROC of each strategy on each fold, (strategy, fold)."""
    chance = np.random.default_rng([seed, patients])
    y = np.arange(patients) % 2
    x = chance.standard_normal((strategies, patients, VALUES))
    x[..., 0] += EFFECT * y
    found = []
    for _ in range(repeats):
        folds = np.empty(patients, dtype=int)
        for k in (0, 1):
            rows = chance.permutation(np.flatnonzero(y == k))
            folds[rows] = np.arange(len(rows)) % FOLDS
        for fold in range(FOLDS):
            train, test = folds != fold, folds == fold
            mean = x[:, train].mean(1, keepdims=True)
            known, truth = x[:, train] - mean, y[train] - y[train].mean()
            squares = known.swapaxes(1, 2) @ known + np.eye(VALUES)
            weights = np.linalg.solve(squares, known.swapaxes(1, 2) @ truth[:, None])
            scores = ((x[:, test] - mean) @ weights)[..., 0]
            found.append([auroc(each, y[test]) for each in scores])
    return np.array(found).T


def p_values(areas: Array, repeats: int) -> tuple[Array, Array]:
    """Of each strategy against the first: as they are, and with repeated folds as new ones."""
    told = [corrected_difference(each, areas[0], 1 / FOLDS)[1] for each in areas[1:]]
    once, train = 1 / FOLDS, 1 / (FOLDS - 1)
    wider = np.sqrt((once + train) / (once / repeats + train))
    freedom = areas.shape[1] - 1
    return np.array(told), 2 * stats.t.sf(wider * stats.t.isf(np.array(told) / 2, freedom), freedom)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=400)
    parser.add_argument("--strategies", type=int, default=10, help="beside the one that they are compared with")
    options = parser.parse_args()
    print("| patients | shared out | pairs | cohorts with a claim | pairs, repeats as new | cohorts |")
    print("|---" * 6 + "|")
    for patients in (12, 20, 40, 100, 200):
        for repeats in (1, 3):
            each = [
                p_values(fold_areas(patients, repeats, 1 + options.strategies, seed), repeats)
                for seed in range(options.cohorts)
            ]
            cells = [
                part
                for kind in range(2)
                for part in (
                    np.mean([told[kind] <= LEVEL for told in each]),
                    np.mean([holm(told[kind]).min() <= LEVEL for told in each]),
                )
            ]
            print(f"| {patients} | {repeats} | " + " | ".join(f"{part:.3f}" for part in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
