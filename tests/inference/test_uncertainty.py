"""How sure an answer is, where its doubt comes from, and whether a scan is like those that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polyscan.inference import FeatureDistance, conflict, entropy, shapley_interactions, shapley_values, split_entropy
from polyscan.inference.feature_distance import Components


def test_networks_that_agree_on_a_guess_leave_nothing_to_learn():
    """Both say one half: all of it aleatoric. Each is sure of another class: all of it epistemic."""
    agree = torch.full((2, 2), 0.5)
    differ = torch.eye(2)
    assert [float(part) for part in split_entropy(agree)] == pytest.approx([1.0, 0.0])
    assert [float(part) for part in split_entropy(differ)] == pytest.approx([0.0, 1.0])


def test_the_parts_sum_to_the_entropy_of_the_mean():
    samples = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    aleatoric, epistemic = split_entropy(samples)
    torch.testing.assert_close(aleatoric + epistemic, entropy(samples.mean(0)))
    assert (epistemic > 0).all()
    by_hand = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert float(entropy(torch.tensor([0.9, 0.1]))) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([[0.7, 0.2, 0.1]] * 3, 0.0),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 1.0),
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], 1.0),  # three answers of two classes differ no further
        ([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], (2 / 3) / (math.log2(3) - 2 / 3)),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], 1 - (2 / 3) / math.log2(3)),
    ],
)
def test_conflict_is_none_where_all_agree_and_full_where_they_differ_as_far_as_so_many_can(answers, expected):
    assert float(conflict(torch.tensor(answers))) == pytest.approx(expected, abs=1e-6)


def test_pairs_that_complement_repeat_or_ignore_each_other():
    """0 and 1 are worth 1 only together, 2 and 3 each 1 but no more together, 4 is noise."""

    def value(s):
        return torch.tensor(float({0, 1} <= s) + float(bool({2, 3} & s)))

    pairs, values = shapley_interactions(value, 5), shapley_values(value, 5)[0]
    expected = torch.zeros(5, 5)
    expected[0, 1] = expected[1, 0] = 1.0
    expected[2, 3] = expected[3, 2] = -1.0
    torch.testing.assert_close(pairs, expected)
    torch.testing.assert_close(values, torch.tensor([0.5, 0.5, 0.5, 0.5, 0.0]))
    assert float(values.sum()) == pytest.approx(2.0)


def known(count, seed, shift=0.0, channels=64):
    """Features with three strong directions and noise in all."""
    generator = np.random.default_rng(seed)
    strong = np.random.default_rng(9).standard_normal((3, channels))
    return generator.standard_normal((count, 3)) @ strong + 0.1 * generator.standard_normal((count, channels)) + shift


def test_features_like_the_known_ones_are_rare_as_often_as_they_should_be():
    """40 known studies, fewer than features: a p value of at most 0.1 in about 10 of 100, whichever 40 they are."""
    values = []
    for seed in range(20):
        distance = FeatureDistance.fit(known(40, seed), [str(k) for k in range(40)])
        values += [distance.p_value(x) for x in known(40, 1000 + seed)]
    assert 0.06 < np.mean(np.array(values) <= 0.1) < 0.14
    assert min(values) >= 1 / 41


def test_studies_of_a_subject_count_as_one():
    """One of forty subjects comes forty times, and lies far away; nobody is as far as the new study."""
    x = known(39, 0)
    far = x.max(0) * 30 + 0.1 * np.random.default_rng(1).standard_normal((40, 64))
    distance = FeatureDistance.fit(np.concatenate([x, far]), [*map(str, range(39)), *["often"] * 40])
    assert [len(of) for fold in distance.distances for of in fold if len(of) > 1] == [40]
    assert distance.p_value(1000 * far[0]) == pytest.approx(1 / 41)


def test_distances_are_those_of_a_whole_covariance_matrix():
    """Eight axes as the studies have them, one variance for the rest: Mahalanobis by its inverse."""
    x = known(30, 1, channels=20)
    fitted = Components.fit(x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    values[:-8] = values[:-8].mean()
    off = x[:5] + 1 - x.mean(0)
    expected = np.einsum("ni,ij,nj->n", off, np.linalg.inv(vectors @ np.diag(values) @ vectors.T), off)
    np.testing.assert_allclose(fitted.distance(x[:5] + 1), expected, rtol=1e-6)
    np.testing.assert_allclose(Components.fit(x / 100).distance((x[:5] + 1) / 100), expected, rtol=1e-6)  # in any unit


def test_features_that_leave_the_known_directions_are_as_rare_as_can_be():
    distance = FeatureDistance.fit(known(40, 0), [str(k) for k in range(40)])
    strange = known(20, 5) + 0.5 * np.random.default_rng(3).standard_normal((20, 64))
    assert {distance.p_value(x) for x in strange} == {1 / 41}
    assert FeatureDistance.fit(np.zeros((40, 3)), [str(k) for k in range(40)]).p_value([0.0, 0.0, 0.0]) == 1
    with pytest.raises(ValueError, match="of 2 subjects; expected at least 20"):
        FeatureDistance.fit(known(40, 0), ["a", "b"] * 20)
