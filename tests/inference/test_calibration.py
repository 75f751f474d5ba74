"""Temperatures that were put in are found; sets cover what they promise, in each pattern of availability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import betabinom

from polyscan.errors import PolyscanError
from polyscan.evaluation.calibration import (
    area_under_risk_coverage,
    brier_score,
    calibrated_error_quantile,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
)
from polyscan.inference.calibration import AvailabilityTemperature
from polyscan.inference.conformal import ConformalSets, pattern_of

MODALITIES = ("T1", "T1c", "FLAIR")


def drawn(p: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One class a row, by its probabilities."""
    return (generator.random((len(p), 1)) > p.cumsum(1)).sum(1).clip(max=p.shape[1] - 1)


def cohort(count: int, seed: int = 0, absent=(0.0, 0.7, 0.2), everything=0.5):
    """Logits that are too sharp by exp(everything), and by exp(absent) more for each modality that is missing."""
    generator = np.random.default_rng(seed)
    true = generator.normal(size=(count, 4)) * 1.5
    target = drawn(softmax(true, 1), generator)
    available = generator.random((count, 3)) < 0.6
    available[~available.any(1), 0] = True
    return true * np.exp(everything + (~available) @ np.array(absent))[:, None], target, available


def test_the_temperature_that_was_put_in_is_found():
    logits, target, available = cohort(8000)
    fitted = AvailabilityTemperature.fit(logits, target, available, MODALITIES)
    assert fitted.everything == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(fitted.absent, (0.0, 0.7, 0.2), atol=0.12)
    calibrated = softmax(logits / fitted.temperature(available)[:, None], 1)
    assert expected_calibration_error(calibrated, target) < calibrated_error_quantile(calibrated, 0.999, trials=200)
    assert expected_calibration_error(softmax(logits, 1), target) > 0.1
    for pattern in np.unique(available, axis=0):
        rows = (available == pattern).all(1)
        by_chance = calibrated_error_quantile(calibrated[rows], 0.999, trials=200)
        assert expected_calibration_error(calibrated[rows], target[rows]) < by_chance


def test_fewer_modalities_never_make_it_sharper():
    """Even where the studies that it is fitted on say otherwise, and for patterns that none of them had."""
    logits, target, available = cohort(300, absent=(-0.8, 0.4, 0.0))
    available[:, 2] = True
    fitted = AvailabilityTemperature.fit(logits, target, available, MODALITIES)
    patterns = np.array([[bool(k & 1), bool(k & 2), bool(k & 4)] for k in range(1, 8)])
    for pattern in patterns:
        for m in np.flatnonzero(pattern):
            fewer = pattern.copy()
            fewer[m] = False
            assert fitted.temperature(fewer) >= fitted.temperature(pattern)


def test_parts_of_modalities_are_the_likeliest_under_their_prior():
    """A fit by finite differences of what is written down once more, a normal distribution of variance 1 about 0."""
    logits, target, available = cohort(60)

    def loss(parts):
        temperature = np.exp(parts[0] + ~available @ parts[1:])
        likelihood = log_softmax(logits / temperature[:, None], 1)[np.arange(60), target].sum()
        return -likelihood + (parts[1:] ** 2).sum() / 2

    found = minimize(loss, np.full(4, 0.1), bounds=[(None, None), *[(0, None)] * 3])
    fitted = AvailabilityTemperature.fit(logits, target, available, MODALITIES)
    np.testing.assert_allclose([fitted.everything, *fitted.absent], found.x, atol=2e-3)
    assert max(fitted.absent) > 0.1


def test_no_temperature_is_endless():
    """Where every answer is right, however sure, or every one wrong."""
    for true, size, bound in ((0, 0.01, -5.0), (1, 1.0, 5.0)):
        logits = np.tile([[size, -size]], (20, 1))
        fitted = AvailabilityTemperature.fit(logits, np.full(20, true), np.ones((20, 1), bool), ("CT",))
        assert fitted.everything == pytest.approx(bound)


def test_too_few_studies_are_refused():
    with pytest.raises(PolyscanError, match="ten labelled studies at least; there are 9"):
        AvailabilityTemperature.fit(*cohort(9), MODALITIES)


def test_sets_cover_what_they_promise_in_each_pattern():
    """Over many calibrations, coverage follows the exact beta-binomial law, in the rare pattern too."""
    coverage, tested, seen = 0.9, 100, {"111": [], "011": []}
    calibrations = {"111": 60, "011": 25}
    for trial in range(100):
        generator = np.random.default_rng(trial)
        rows = {}
        for name, count in calibrations.items():
            logits = generator.normal(size=(count + tested, 3)) * (2 if name == "111" else 0.7)
            target = drawn(softmax(logits, 1), generator)
            available = np.tile([c == "1" for c in name], (count + tested, 1))
            rows[name] = softmax(logits, 1), target, available
        fit = [np.concatenate([rows[name][k][: calibrations[name]] for name in rows]) for k in range(3)]
        sets = ConformalSets.fit(*fit, coverage)
        for name, (p, target, available) in rows.items():
            first = calibrations[name]
            held = [sets(p[i], available[i])[target[i]] for i in range(first, first + tested)]
            seen[name].append(sum(held))
    for name, held in seen.items():
        n = calibrations[name]
        rank = int(np.ceil((n + 1) * coverage))
        law = betabinom(tested, rank, n + 1 - rank)
        low, high = law.ppf(0.025), law.ppf(0.975)
        inside = np.mean([low <= h <= high for h in held])
        assert inside > 0.88, name  # 95 % of them, by the law, with 100 trials
        assert np.mean(held) / tested >= coverage - 0.01


def test_sets_hold_every_answer_as_probable_as_the_one_that_the_threshold_is_of():
    """Answers that are all alike, as of a table of few categories, in single precision too."""
    there = np.ones((30, 1), bool)
    for true in np.arange(1, 100) / 100:
        p = np.tile([true, 1 - true], (30, 1))
        sets = ConformalSets.fit(p, np.zeros(30, int), there, 0.9)
        assert sets(p[0], there[0])[0], true
        assert sets(p[0].astype(np.float32), there[0])[0], true


def test_ranks_are_those_of_exact_fractions():
    """450 x 0.54 is 243, and not a little more: as many as that may have a set without their class."""
    true = np.arange(1, 450) / 450
    sets = ConformalSets.fit(np.stack([true, 1 - true], 1), np.zeros(449, int), np.ones((449, 1), bool), 0.54)
    assert sets.thresholds["1"] == pytest.approx(true[449 - 243], rel=1e-4)


def test_a_pattern_with_too_few_studies_holds_every_class():
    p = np.array([[0.7, 0.3]] * 8)
    sets = ConformalSets.fit(p, np.zeros(8, int), np.ones((8, 2), bool), 0.9)
    assert sets.thresholds == {}
    assert sets(p[0], np.array([True, True])).all()
    assert pattern_of(np.array([True, False])) == "10"


def test_scores_by_hand():
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]])
    y = np.array([0, 1, 1, 0])
    assert brier_score(p, y) == pytest.approx((0.04 + 0.36 + 0.09 + 0.3025) * 2 / 4)
    assert negative_log_likelihood(p, y) == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.45]).mean())
    # one bin: mean confidence 0.6625 against accuracy 0.5
    assert expected_calibration_error(p, y, bins=1) == pytest.approx(0.1625)
    assert classwise_calibration_error(p, y, bins=1) == pytest.approx(abs(p[:, 0].mean() - 0.5))
    assert area_under_risk_coverage([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)
    assert area_under_risk_coverage([1, 1], [0, 1]) == area_under_risk_coverage([1, 1], [1, 0]) == 0.5
    with pytest.raises(ValueError, match="expected"):
        brier_score(p, y[:2])
    for unknown in ([0, 1, 1, -1], [0, 1, 1, np.nan], [0, 1, 1, 2]):
        with pytest.raises(ValueError, match="leave it out"):
            negative_log_likelihood(p, unknown)
    with pytest.raises(ValueError, match="leave it out"):
        brier_score([[np.nan, np.nan]], [0])


def gap(confidence: np.ndarray, right: np.ndarray) -> float:
    """The calibration error over fifteen bins, one by one."""
    edges, total = np.linspace(0, 1, 16), 0.0
    for low, high in zip(edges[:-1], [*edges[1:-1], np.inf], strict=True):
        inside = (low <= confidence) & (confidence < high)
        total += abs((confidence[inside] - right[inside]).sum()) / len(confidence)
    return total


def test_calibration_errors_are_sums_over_bins():
    p = softmax(np.random.default_rng(0).normal(size=(90, 3)), 1)
    y = drawn(p, np.random.default_rng(1))
    assert expected_calibration_error(p, y) == pytest.approx(gap(p.max(1), p.argmax(1) == y))
    assert classwise_calibration_error(p, y) == pytest.approx(np.mean([gap(p[:, k], y == k) for k in range(3)]))
    assert expected_calibration_error([[1.0, 0.0]] * 4, [0, 0, 0, 1]) == 0.25  # a confidence of 1 has a bin


def test_lists_are_read_as_arrays_are():
    logits, target, available = cohort(40)
    p = softmax(logits, 1)
    for score in (expected_calibration_error, classwise_calibration_error, brier_score, negative_log_likelihood):
        assert score(p.tolist(), target.tolist()) == score(p, target)
    assert calibrated_error_quantile(p.tolist(), trials=5) == calibrated_error_quantile(p, trials=5)
    told = ConformalSets.fit(p, target, available)
    assert ConformalSets.fit(p.tolist(), target.tolist(), available.tolist()) == told
    assert told(p[0].tolist(), available[0].tolist()).tolist() == told(p[0], available[0]).tolist()
    fitted = AvailabilityTemperature.fit(logits, target, available, MODALITIES)
    assert fitted.temperature(available.tolist()).tolist() == fitted.temperature(available).tolist()


@pytest.mark.parametrize(("p", "expected"), [([0.7, 0.3], 0.3), ([0.2, 0.5, 0.3], 0.5), ([0.0, 0.1, 0.9], 0.1)])
def test_the_error_of_one_answer_by_chance_is_that_of_the_class_that_is_drawn(p, expected):
    """Its confidence, or 1 less it, as often as the likeliest class is the true one."""
    assert calibrated_error_quantile([p], 0.45) == pytest.approx(expected)


def test_perfect_probabilities_lie_below_their_quantile():
    below = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        p = softmax(generator.normal(size=(120, 3)), 1)
        y = drawn(p, generator)
        below += expected_calibration_error(p, y) <= calibrated_error_quantile(p, trials=150)
    assert below >= 34  # 95 % of 40
    assert calibrated_error_quantile(p, trials=20) == calibrated_error_quantile(p, trials=20)
