"""Scores against sums over pairs, intervals against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from false_claims import fold_areas
from sklearn.metrics import roc_auc_score

from polyscan.errors import PolyscanError
from polyscan.evaluation import Interval, auroc, bootstrap, concordance_index, corrected_difference, over_folds
from polyscan.evaluation.statistics import (
    bayesian_signed_rank,
    corrected_error,
    holm,
    macro_auroc,
    probability_of_false_claim,
)

RNG = np.random.default_rng(0)


def test_auroc_is_that_of_scikit_learn():
    truth = RNG.integers(0, 2, 60)
    score = np.round(RNG.normal(size=60) + truth, 1)
    assert auroc(score, truth) == pytest.approx(roc_auc_score(truth, score))
    assert np.isnan(auroc([1, 2], [1, 1]))


def test_concordance_counts_the_pairs_whose_order_is_known():
    time, event, risk = RNG.integers(1, 9, 40), RNG.integers(0, 2, 40), RNG.integers(0, 5, 40)
    right = known = 0.0
    for i in range(40):
        for j in range(40):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                known += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    assert concordance_index(risk, time, event) == pytest.approx(right / known)
    assert concordance_index([3, 2, 1], [1, 2, 3], [1, 1, 0]) == 1
    assert np.isnan(concordance_index([1, 2], [1, 2], [0, 0]))
    assert np.isnan(concordance_index([np.nan, 2, 1], [1, 2, 3], [1, 1, 0]))


def test_bootstrap_of_a_mean_is_its_standard_error():
    values = RNG.normal(size=400)
    interval = bootstrap(lambda rows: float(values[rows].mean()), range(400))
    assert interval.value == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert bootstrap(lambda rows: float(values[rows].mean()), range(400)) == interval


def test_bootstrap_draws_patients_with_all_their_studies():
    """Each study twice tells no more than each once."""
    values = RNG.normal(size=100)
    once = bootstrap(lambda rows: float(values[rows].mean()), range(100))
    twice = np.repeat(values, 2)
    both = bootstrap(lambda rows: float(twice[rows].mean()), np.repeat(range(100), 2).tolist())
    assert both == pytest.approx(once)
    alone = bootstrap(lambda rows: float(twice[rows].mean()), ["P1"] * 200)
    assert alone.value == pytest.approx(values.mean())
    assert np.isnan([alone.low, alone.high]).all()  # one patient tells nothing of others
    with pytest.raises(PolyscanError, match="no study"):
        bootstrap(lambda rows: 0.0, [])


def test_scores_of_folds_are_not_mixed():
    """Models of two folds may answer on two scales."""
    truth = np.array([0, 1, 0, 1])
    score = np.array([0.1, 0.2, 5.1, 5.2])
    folds = [0, 0, 1, 1]
    mean = over_folds(lambda rows: auroc(score[rows], truth[rows]), folds)
    assert mean(np.arange(4)) == 1
    assert auroc(score, truth) == 0.75
    assert mean(np.array([0, 1, 2, 2])) == 1
    values = np.array([1.0, 3.0, 5.0, 9.0])
    assert over_folds(lambda rows: float(values[rows].mean()), [0, 0, 1, 2])(np.arange(4)) == pytest.approx(16 / 3)
    assert np.isnan(mean(np.array([0, 0])))


def test_corrected_difference_is_wider_than_the_t_test():
    from scipy import stats

    a, b = np.array([0.81, 0.80, 0.84, 0.79, 0.83]), np.array([0.80, 0.78, 0.80, 0.80, 0.80])
    interval, p = corrected_difference(a, b, 0.2)
    plain = stats.ttest_rel(a, b)
    assert interval.value == pytest.approx(0.018)
    # The standard error is sqrt((1/5 + 1/4) / (1/5)) = 1.5 times that of the plain test.
    t = plain.statistic / 1.5
    assert p == pytest.approx(2 * stats.t.sf(t, 4))
    assert interval.low == pytest.approx(0.018 - stats.t.ppf(0.975, 4) * 0.018 / t)
    assert probability_of_false_claim(a, b, 0.2) == probability_of_false_claim(b, a, 0.2) == pytest.approx(p / 2)
    assert corrected_difference(a, a, 0.2) == (Interval(0, 0, 0), 1.0)
    with pytest.raises(PolyscanError, match="as many folds"):
        corrected_difference(a, b[:3], 0.2)


def test_interval_reads_as_a_sentence():
    assert str(Interval(0.8123, 0.7761, 0.8459)) == "0.812 (0.776 to 0.846)"
    assert str(bootstrap(lambda rows: 0.8, ["one patient"])) == "0.800 (no interval)"


def test_holm_is_the_step_down_of_the_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.8, 0.9]) == pytest.approx([1.0, 1.0])


def test_a_claim_is_as_often_false_as_is_said():
    """Seven strategies that are alike on 40 patients, who are shared out three times: the same patients each time."""
    families, pairs = [], []
    for seed in range(60):
        areas = fold_areas(40, 3, 7, seed)
        told = [corrected_difference(each, areas[0], 0.2)[1] for each in areas[1:]]
        families.append(holm(told).min() <= 0.05)
        pairs += [probability_of_false_claim(each, areas[0], 0.2) <= 0.05 for each in areas[1:]]
    assert np.mean(families) <= 0.05
    assert 0 < np.mean(pairs) <= 0.1  # on both sides
    assert probability_of_false_claim([0.8, 0.9], [0.8, 0.9], 0.5) == 0.5


def test_the_error_over_few_of_many_folds_is_that_of_so_few():
    a, b = np.array([0.81, 0.80, 0.84]), np.array([0.80, 0.78, 0.80])
    assert corrected_error(a, b, 0.1) == pytest.approx(np.sqrt((a - b).var(ddof=1) * (1 / 3 + 1 / 9)))


def test_bayesian_signed_rank_tells_ahead_from_as_good_and_from_chance():
    every_time = bayesian_signed_rank([2.0, 3.0, 2.5, 4.0, 3.5, 2.2, 2.8, 3.1], rope=1)
    assert every_time.first > 0.99
    assert bayesian_signed_rank([0.1, -0.2, 0.3, -0.1, 0.2, 0.4, -0.3], rope=1).equal == 1
    symmetric = bayesian_signed_rank([4.0, -4.0, 3.0, -3.0, 2.5, -2.5], rope=0.01)
    assert symmetric.first == pytest.approx(symmetric.second, abs=0.02)
    assert symmetric.equal < 0.1
    # One cohort far above has a weight w of Beta(1, 1/2); it is ahead where all pairs that it is in, 1 - (1 - w)^2, are
    # more than a half: w > 1 - sqrt(1/2), which has a probability of sqrt(sqrt(1/2)).
    assert bayesian_signed_rank([3.0], rope=1).first == pytest.approx(0.5**0.25, abs=0.01)
    with pytest.raises(PolyscanError, match="expected one at least and a width"):
        bayesian_signed_rank([1.0], rope=0)


def test_bayesian_signed_rank_is_that_of_baycomp():
    """``SignedRankTest.probs`` of baycomp 1.0.3 with 200,000 draws."""
    many = bayesian_signed_rank([2.4, -0.6, 1.9, 0.3, 3.1, -1.4, 0.8, 1.2, -0.2], rope=1)
    assert many == pytest.approx((0.0001, 0.682, 0.318), abs=0.01)
    few = bayesian_signed_rank([1.0, -1.5, 2.0, 0.5, -3.0], rope=1)  # the first is at the edge
    assert few == pytest.approx((0.195, 0.703, 0.101), abs=0.01)


def test_classes_that_nobody_has_are_left_out_of_the_macro_average():
    chance = np.random.default_rng(0)
    p, y = chance.dirichlet(np.ones(3), 60), chance.integers(0, 3, 60)
    assert macro_auroc(p, y) == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    without = y != 2
    each = [auroc(p[without, k], y[without] == k) for k in (0, 1)]
    assert macro_auroc(p[without], y[without]) == pytest.approx(np.mean(each))
    two = p[:, :2] / p[:, :2].sum(1, keepdims=True)
    assert macro_auroc(two, y == 1) == auroc(two[:, 1], y == 1)
    assert np.isnan(macro_auroc(two, np.zeros(60)))
