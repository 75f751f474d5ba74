"""Temperatures that were put in are found; sets cover what they promise, in each pattern of availability."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import betabinom
from sklearn.isotonic import isotonic_regression

from polyscan.errors import PolyscanError
from polyscan.evaluation.calibration import (
    area_under_risk_coverage,
    brier_score,
    calibrated_error_quantile,
    classwise_calibration_error,
    expected_calibration_error,
    negative_log_likelihood,
)
from polyscan.inference.calibration import CALIBRATIONS, AvailabilityTemperature, IsotonicCalibration, VectorScaling
from polyscan.inference.conformal import ConformalSets, least_bound, pattern_of
from polyscan.inference.task_calibration import fit_calibration, load_calibration

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


@pytest.mark.parametrize("kind", CALIBRATIONS.values())
def test_too_few_studies_are_refused(kind):
    with pytest.raises(PolyscanError, match="ten labelled studies at least; there are 9"):
        kind.fit(*cohort(9), MODALITIES)


def test_factors_and_offsets_that_were_put_in_are_found():
    """And the answers for other studies are as good as the true ones, which a temperature's are not."""
    logits, target, available = cohort(8000, everything=0)
    softer = np.exp(-(~available @ np.array((0.0, 0.7, 0.2))))[:, None]
    factors, offsets = np.array([1.6, 1.0, 0.7, 1.0]), np.array([1.0, -0.5, 0.0, -0.5])
    given = (logits - offsets) / factors
    fit, other = slice(4000), slice(4000, None)
    fitted = VectorScaling.fit(given[fit], target[fit], available[fit], MODALITIES)
    np.testing.assert_allclose(fitted.factors, factors, atol=0.15)
    np.testing.assert_allclose(np.array(fitted.offsets) - np.mean(fitted.offsets), offsets, atol=0.15)
    np.testing.assert_allclose(fitted.temperature.absent, (0.0, 0.7, 0.2), atol=0.12)
    softened = AvailabilityTemperature.fit(given[fit], target[fit], available[fit], MODALITIES)
    p, q = (each.probabilities(given[other], available[other]) for each in (fitted, softened))
    truth = softmax(logits[other] * softer[other], 1)
    best = negative_log_likelihood(truth, target[other])
    assert negative_log_likelihood(p, target[other]) < best + 0.01
    assert negative_log_likelihood(q, target[other]) > best + 0.05
    assert classwise_calibration_error(p, target[other]) < classwise_calibration_error(q, target[other]) / 2


def test_factors_and_offsets_are_the_likeliest_under_their_prior():
    """A fit by finite differences of what is written down once more."""
    logits, target, available = cohort(60)

    def loss(parts):
        everything, absent, classes, offsets = np.split(parts, [1, 4, 8])
        scaled = (logits / np.exp(everything + classes) + offsets) / np.exp(~available @ absent)[:, None]
        return -log_softmax(scaled, 1)[np.arange(60), target].sum() + (parts[1:] ** 2).sum() / 2

    found = minimize(loss, np.full(12, 0.1), bounds=[(None, None), *[(0, None)] * 3, *[(None, None)] * 8]).x
    fitted = VectorScaling.fit(logits, target, available, MODALITIES)
    np.testing.assert_allclose(fitted.temperature.absent, found[1:4], atol=5e-3)
    np.testing.assert_allclose(fitted.factors, np.exp(-(found[0] + found[4:8])), atol=5e-3)
    np.testing.assert_allclose(fitted.offsets, found[8:], atol=5e-3)


def test_fewer_modalities_never_make_a_scaled_answer_sharper():
    logits, target, available = cohort(300, absent=(-0.8, 0.4, 0.0))
    fitted = VectorScaling.fit(logits + np.eye(4)[0], target, available, MODALITIES)
    whole = fitted.probabilities(logits, np.ones(3, bool)).max(1)
    assert (fitted.probabilities(logits, np.array([False, False, True])).max(1) <= whole + 1e-12).all()


def test_a_rising_distortion_is_taken_away():
    """One that no temperature, factor and offset undo; answers for other studies are as good as the true ones."""
    generator = np.random.default_rng(0)
    true = generator.normal(size=8000) * 1.5
    target = (generator.random(8000) < 1 / (1 + np.exp(-true))).astype(int)
    available = generator.random((8000, 2)) < 0.6
    bent = np.where(true > 0, 3 * true, true / 2 - 1) * np.exp(~available @ np.array((0.0, 0.6)))
    logits = np.stack([np.zeros(8000), bent], 1)
    fit, other = slice(4000), slice(4000, None)
    truth = softmax(np.stack([np.zeros(4000), true[other]], 1), 1)
    loss, error = {}, {}
    for name, kind in CALIBRATIONS.items():
        fitted = kind.fit(logits[fit], target[fit], available[fit], ("CT", "PET"))
        p = fitted.probabilities(logits[other], available[other])
        loss[name] = negative_log_likelihood(p, target[other]) - negative_log_likelihood(truth, target[other])
        error[name] = expected_calibration_error(p, target[other])
    assert loss["isotonic"] < 0.01 < min(loss["temperature"], loss["vector"])
    assert error["isotonic"] < min(error["temperature"], error["vector"]) * 0.6


def test_class_by_class_wants_more_studies_than_a_temperature_does():
    """Mean loss on other studies over 20 cohorts that name a class too often; docs/bundles.md tells these."""
    loss = {count: dict.fromkeys(CALIBRATIONS, 0.0) for count in (60, 125, 500)}
    for count, told in loss.items():
        for seed in range(20):
            logits, target, available = cohort(count + 2000, seed=seed)
            too_often = np.array([1.0, -0.5, 0.0, -0.5])
            given = logits + too_often * np.exp(~available @ np.array((0.0, 0.7, 0.2)))[:, None]
            for name, kind in CALIBRATIONS.items():
                fitted = kind.fit(given[:count], target[:count], available[:count], MODALITIES)
                p = fitted.probabilities(given[count:], available[count:])
                told[name] += negative_log_likelihood(p, target[count:]) / 20
    assert loss[60]["temperature"] < min(loss[60]["vector"], loss[60]["isotonic"])
    assert loss[125]["vector"] < loss[125]["temperature"] < loss[125]["isotonic"]
    assert loss[500]["vector"] < loss[500]["isotonic"] < loss[500]["temperature"]
    told = [loss[125]["vector"], loss[125]["temperature"], loss[500]["isotonic"], loss[500]["temperature"]]
    assert told == pytest.approx([0.978, 0.988, 0.973, 0.980], abs=0.003)


def test_a_curve_is_the_isotonic_regression_of_its_class_and_is_never_sure():
    logits, target, available = cohort(200)
    fitted = IsotonicCalibration.fit(logits, target, available, MODALITIES)
    p = AvailabilityTemperature.fit(logits, target, available, MODALITIES).probabilities(logits, available)
    curves = np.empty_like(p)
    for k in range(4):
        order = np.argsort(p[:, k])
        curves[order, k] = isotonic_regression((target[order] == k).astype(float)).clip(1 / 202, 201 / 202)
    assert curves.min() == 1 / 202
    np.testing.assert_allclose(fitted.probabilities(logits, available), curves / curves.sum(1, keepdims=True))
    beyond = fitted.probabilities(np.array([[50.0, 0, 0, 0]]), np.ones(3, bool))
    assert 0 < beyond.min() < beyond.max() < 1


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_a_file_says_the_method_and_answers_as_what_was_fitted(method, tmp_path):
    logits, target, available = cohort(60)
    tasks, path = {"grade": ["1", "2", "3", "4"], "IDH": ["no", "yes"]}, tmp_path / "calibration.json"
    both = np.concatenate([logits, logits[:, :2]], 1)
    targets = np.stack([target, np.full(60, np.nan)], 1)
    made = fit_calibration(
        tasks, list(MODALITIES), both, targets, available, [f"{k}" for k in range(60)], method=method
    )
    made.save(path)
    content = json.loads(path.read_text())
    assert content["method"] == method
    read = load_calibration(path, tasks, MODALITIES)
    assert read == made
    samples = torch.as_tensor(both[:5], dtype=torch.float32)
    p = read.probabilities(samples, torch.tensor([True, False, True]))
    expected = made.temperatures["grade"].probabilities(logits[:5], np.array([True, False, True]))
    np.testing.assert_allclose(p[:, :4], expected, rtol=1e-5)
    np.testing.assert_allclose(p[:, 4:], softmax(both[:5, 4:], 1), rtol=1e-5)
    path.write_text(json.dumps(content | {"method": "platt"}))
    with pytest.raises(PolyscanError, match=r"method is of another kind .*'temperature', 'vector' or 'isotonic'"):
        load_calibration(path, tasks, MODALITIES)
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "method"}))
    if method == "temperature":  # as files were before there was another
        assert load_calibration(path, tasks, MODALITIES) == made
    else:
        with pytest.raises(PolyscanError, match=r"calibration\.json holds no temperature scaling; make it anew"):
            load_calibration(path, tasks, MODALITIES)


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
        sets = ConformalSets.fit(*fit, range(sum(calibrations.values())), coverage)
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


def test_with_five_thousand_each_sets_cover_within_two_points_and_probabilities_are_right_in_each_pattern():
    logits, target, available = cohort(125_000)
    fit, hold, other = slice(10_000), slice(10_000, 67_000), slice(67_000, None)
    fitted = AvailabilityTemperature.fit(logits[fit], target[fit], available[fit], MODALITIES)
    p = fitted.probabilities(logits, available)
    sets = ConformalSets.fit(p[hold], target[hold], available[hold], range(57_000), 0.9)
    for pattern in np.unique(available, axis=0):
        known, asked = ((available[rows] == pattern).all(1) for rows in (hold, other))
        assert min(known.sum(), asked.sum()) >= 5000
        held = p[other][asked, target[other][asked]] >= sets.thresholds[pattern_of(pattern)]
        assert abs(held.mean() - 0.9) < 0.02
        assert expected_calibration_error(p[other][asked], target[other][asked]) < 0.03


def test_sets_hold_every_answer_as_probable_as_the_one_that_the_threshold_is_of():
    """Answers that are all alike, as of a table of few categories, in single precision too."""
    there = np.ones((30, 1), bool)
    for true in np.arange(1, 100) / 100:
        p = np.tile([true, 1 - true], (30, 1))
        sets = ConformalSets.fit(p, np.zeros(30, int), there, range(30), 0.9)
        assert sets(p[0], there[0])[0], true
        assert sets(p[0].astype(np.float32), there[0])[0], true


def test_ranks_are_those_of_exact_fractions():
    """450 x 0.54 is 243, and not a little more: as many as that may have a set without their class."""
    true = np.arange(1, 450) / 450
    sets = ConformalSets.fit(
        np.stack([true, 1 - true], 1), np.zeros(449, int), np.ones((449, 1), bool), range(449), 0.54
    )
    assert sets.thresholds["1"] == pytest.approx(true[449 - 243], rel=1e-4)


def test_a_new_subject_is_covered_where_some_have_many_studies():
    """A third of them come nine times and are told better; were each study a subject, 0.37 of the new would be held."""
    held, by_study = [], []
    for seed in range(2000):
        generator = np.random.default_rng(seed)
        often = generator.random(13) < 0.3
        subjects = np.repeat(np.arange(12), np.where(often, 9, 1)[:12])
        hardness = generator.normal(np.where(often, -2.0, 0.0), 0.3)
        known = hardness[subjects] + 0.3 * generator.normal(size=len(subjects))
        new = hardness[12] + 0.3 * generator.normal()
        held.append(new <= least_bound(known, subjects, 0.75))
        by_study.append(new <= least_bound(known, np.arange(len(known)), 0.75))
    error = 3 * np.std(held) / np.sqrt(len(held))
    assert 0.75 - error < np.mean(held) < 0.75 + 1 / 13 + error
    assert np.mean(by_study) < 0.4


def test_the_bound_is_the_least_that_too_few_subjects_exceed():
    """Of three subjects with 2, 1 and 4 studies a quarter each is 1; at 0.5 a whole subject more may exceed it."""
    scores, subjects = np.array([5.0, 1.0, 4.0, 6.0, 3.0, 2.0, 0.0]), np.array(list("aabcccc"))
    assert least_bound(scores, subjects, 0.75) == 6  # (0 + 1) / 4; of 5: (1/4 + 1) / 4
    assert least_bound(scores, subjects, 0.65) == 5
    assert least_bound(scores, subjects, 0.5) == 4  # (1/4 + 1/2 + 1) / 4, and of 3 it is (1/4 + 1/2 + 1 + 1) / 4
    assert least_bound(scores, subjects, 0.76) == np.inf


def test_a_pattern_with_too_few_studies_holds_every_class():
    p = np.array([[0.7, 0.3]] * 8)
    sets = ConformalSets.fit(p, np.zeros(8, int), np.ones((8, 2), bool), range(8), 0.9)
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
    told = ConformalSets.fit(p, target, available, range(40))
    assert ConformalSets.fit(p.tolist(), target.tolist(), available.tolist(), range(40)) == told
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
