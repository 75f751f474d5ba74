"""Which modality drove an answer, and which pair tells more together than apart."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from itertools import combinations
from math import factorial, nan

import torch
from torch import Tensor

EXACT_PLAYERS = 10
"""Of more players not every subset is asked for."""
_SUBSETS, _FEWEST_PAIRS = 2**10, 16


def shapley_values(value: Callable[[frozenset[int]], Tensor], players: int) -> tuple[Tensor, Tensor]:
    """phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)).

    Shapley, A value for n-person games, 1953; of inputs: Lundberg and Lee, NeurIPS 2017. Up to ten players exactly,
    from all 2^n subsets; of more by :func:`polyscan.inference.sampled_shapley_values`.

    Args:
        value: v of a subset of 0 to n - 1, the empty one too; called once for each.
        players: n.

    Returns:
        (players, ...) for values (...), whose sum is v(all) - v(none), and their standard errors: 0 where exact.
    """
    if players > EXACT_PLAYERS:
        return sampled_shapley_values(value, players)
    known = _of_subsets(value, players)
    total = torch.zeros(players, *known[frozenset()].shape)
    for player in range(players):
        for subset, before in known.items():
            if player not in subset:
                weight = factorial(len(subset)) * factorial(players - len(subset) - 1) / factorial(players)
                total[player] += weight * (known[subset | {player}] - before)
    return total, torch.zeros_like(total)


def shapley_interactions(value: Callable[[frozenset[int]], Tensor], players: int) -> Tensor:
    """How much more two players are worth together than each alone, on average over what the others do.

    I_ij = sum over S without i, j of |S|! (n - |S| - 2)! / (n - 1)! (v(S + i + j) - v(S + i) - v(S + j) + v(S)): the
    interaction index of Grabisch and Roubens, Int J Game Theory 28, 1999. Above 0: they complement each
    other; below: one repeats the other.

    Args:
        value: v of a subset of 0 to n - 1, the empty one too; called once for each.
        players: n.

    Returns:
        (players, players, ...) for values (...), symmetric, 0 from a player to itself. Of more than ten players NaN:
        from as many sampled orders as their values take they were off by half of what they are in games of 11.
    """
    if players > EXACT_PLAYERS:
        return torch.full((players, players, *value(frozenset()).shape), nan)
    known = _of_subsets(value, players)
    total = torch.zeros(players, players, *known[frozenset()].shape)
    for a, b in combinations(range(players), 2):
        for subset, before in known.items():
            if not subset & {a, b}:
                weight = factorial(len(subset)) * factorial(players - len(subset) - 2) / factorial(players - 1)
                total[a, b] += weight * (known[subset | {a, b}] - known[subset | {a}] - known[subset | {b}] + before)
        total[b, a] = total[a, b]
    return total


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


def _of_subsets(value: Callable[[frozenset[int]], Tensor], players: int) -> dict[frozenset[int], Tensor]:
    subsets = (frozenset(s) for size in range(players + 1) for s in combinations(range(players), size))
    return {subset: value(subset) for subset in subsets}
