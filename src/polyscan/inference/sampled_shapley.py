"""Shapley values of so many players that not every subset can be asked for."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

_SUBSETS, _FEWEST_PAIRS = 2**10, 16


def sampled_shapley_values(
    value: Callable[[frozenset[int]], Tensor], players: int, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The mean, over random orders in which the players come, of what each adds to those before it.

    Castro, Gomez and Tejada, Polynomial calculation of the Shapley value based on sampling, Computers and Operations
    Research 36, 2009. Each order comes with its reverse, whose errors partly cancel its own (Mitchell et al., Sampling
    permutations for Shapley value estimation, JMLR 23, 2022).

    Args:
        value: v of a subset of 0 to n - 1, the empty one too; called once for each of 1024 subsets at most, and of more
            than 33 players for 32 n at most.
        players: n, 2 or more.
        seed: of the orders.

    Returns:
        (players, ...) for values (...), whose sum is v(all) - v(none) but for rounding, and their standard errors, from
        how much the means of an order and its reverse differ.
    """
    known = cache(value)
    generator = random.Random(seed)
    means = []
    for _ in range(max(_FEWEST_PAIRS, _SUBSETS // (2 * players))):
        order = generator.sample(range(players), players)
        added = torch.zeros(players, *known(frozenset()).shape)
        for each in (order, order[::-1]):
            for k, player in enumerate(each):
                added[player] += known(frozenset(each[: k + 1])) - known(frozenset(each[:k]))
        means.append(added / 2)
    pairs = torch.stack(means)
    return pairs.mean(0), pairs.std(0) / len(pairs) ** 0.5
