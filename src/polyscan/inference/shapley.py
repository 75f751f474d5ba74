"""Which modality drove an answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial

import torch
from torch import Tensor


def shapley_values(value: Callable[[frozenset[int]], Tensor], players: int) -> Tensor:
    """phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)), exactly, from all 2^n subsets.

    Shapley, A value for n-person games, 1953; of inputs: Lundberg and Lee, NeurIPS 2017, equation 4.

    Args:
        value: v of a subset of 0 to n - 1, the empty one too; called once for each.
        players: n.

    Returns:
        (players, ...) for values (...); their sum is v(all) - v(none).
    """
    everyone = range(players)
    known = {frozenset(s): value(frozenset(s)) for size in range(players + 1) for s in combinations(everyone, size)}
    total = torch.zeros(players, *known[frozenset()].shape)
    for player in everyone:
        for subset, before in known.items():
            if player not in subset:
                weight = factorial(len(subset)) * factorial(players - len(subset) - 1) / factorial(players)
                total[player] += weight * (known[subset | {player}] - before)
    return total
