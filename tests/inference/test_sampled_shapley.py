"""Sampled Shapley values against those that are known in closed form."""

from __future__ import annotations

from itertools import combinations

import torch

from polyscan.inference import sampled_shapley_values, shapley_interactions, shapley_values


def random_game(players):
    """What players, pairs and triples are worth: a term of a set is shared by its members in equal parts."""
    sets = [each for size in (1, 2, 3) for each in combinations(range(players), size)]
    members = torch.tensor([[float(player in each) for player in range(players)] for each in sets])
    sizes = members.sum(1, keepdim=True)
    worth = torch.randn(len(sets), 2, generator=torch.Generator().manual_seed(0)) / sizes
    asked = []

    def value(subset):
        asked.append(subset)
        within = members[:, list(subset)].sum(1, keepdim=True) == sizes
        return 3 + (worth * within).sum(0)

    return value, members.T @ (worth / sizes), asked


def test_sampled_values_are_the_exact_ones_within_their_standard_errors():
    value, exact, _ = random_game(11)
    runs = [sampled_shapley_values(value, 11, seed) for seed in range(3)]
    for values, errors in runs:
        torch.testing.assert_close(values.sum(0), value(frozenset(range(11))) - value(frozenset()))
        assert 0.3 < float((((values - exact) / errors) ** 2).mean()) < 3
        assert float(errors.max()) < 0.2 * float(exact.std())
    again = sampled_shapley_values(value, 11, 0)[0]
    assert torch.equal(again, runs[0][0])
    assert not torch.equal(again, runs[1][0])


def test_so_many_players_cost_as_much_as_ten():
    """And a player who adds nothing is given nothing. Interactions of so many are not told."""
    value, _, asked = random_game(13)
    values, errors = shapley_values(lambda subset: value(subset - {13}), 14)
    assert 0 < len(asked) <= 1024
    assert not values[13].any()
    assert not errors[13].any()
    assert errors[:13].all()
    assert shapley_interactions(value, 14).isnan().all()
