"""Scales and the ways back from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from polyscan.errors import PolyscanError
from polyscan.preprocess.normalize import (
    HistogramStandard,
    Whitening,
    match_histogram,
    robust_z_score,
    z_score,
)

SHAPE = (12, 13, 14)


def scan(seed, gain=1.0, shift=0.0):
    """A head-like mixture of tissues, and its mask."""
    rng = np.random.default_rng(seed)
    tissue = rng.choice([300.0, 600, 900], SHAPE, p=[0.3, 0.4, 0.3]) + rng.normal(0, 30, SHAPE)
    mask = np.ones(SHAPE, dtype=bool)
    mask[:2] = False
    return tissue * gain + shift, mask


@pytest.mark.parametrize("make", [z_score, robust_z_score])
@given(seed=st.integers(0, 99), gain=st.floats(0.01, 100), shift=st.floats(-1e4, 1e4))
@settings(max_examples=20, deadline=None)
def test_z_scores_do_not_see_gain_and_shift_and_can_be_undone(make, seed, gain, shift):
    values, mask = scan(seed)
    changed = values * gain + shift
    standardization = make(changed, mask)
    np.testing.assert_allclose(standardization(changed), make(values, mask)(values), atol=2e-3)
    np.testing.assert_allclose(
        standardization.inverse(standardization(changed)), changed, rtol=1e-3, atol=1e-3 * gain * 1000
    )


def test_z_score_has_mean_0_and_deviation_1_inside():
    values, mask = scan(0)
    inside = z_score(values, mask)(values)[mask]
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)


def test_robust_z_score_ignores_what_is_far_off():
    values, mask = scan(0)
    bright = values.copy()
    bright[3, :4, :4] = 1e6
    assert robust_z_score(bright, mask).scale == pytest.approx(robust_z_score(values, mask).scale, rel=0.05)
    assert z_score(bright, mask).scale > 10 * z_score(values, mask).scale
    noise = np.random.default_rng(1).normal(0, 7, 100_000)
    assert robust_z_score(noise, np.ones(noise.shape, bool)).scale == pytest.approx(7, rel=0.02)


@pytest.mark.parametrize("make", [z_score, robust_z_score])
def test_no_contrast_is_an_error(make):
    with pytest.raises(PolyscanError, match="no contrast"):
        make(np.ones(SHAPE), np.ones(SHAPE, dtype=bool))
    with pytest.raises(PolyscanError, match="no voxel"):
        make(np.full(SHAPE, np.nan), np.ones(SHAPE, dtype=bool))


def test_nyul_brings_scanners_together_and_back(tmp_path):
    cohort = [scan(seed, gain, shift) for seed, gain, shift in ((0, 1, 0), (1, 3, 50), (2, 0.2, -10))]
    standard = HistogramStandard.fit(cohort)
    standard.save(tmp_path / "T1.json")
    loaded = HistogramStandard.load(tmp_path / "T1.json")
    for values, mask in [*cohort, scan(7, gain=12)]:
        landmarks = loaded.match(values, mask)
        matched = landmarks(values)
        np.testing.assert_allclose(np.percentile(matched[mask], loaded.percentiles), loaded.standard, atol=0.5)
        np.testing.assert_allclose(landmarks.inverse(matched), values, rtol=1e-3, atol=1e-2 * values.std())
    assert np.all(np.diff(loaded.standard) > 0)


def test_a_file_that_is_no_standard_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"percentiles": [1, 99], "standard": [5, 5]}')
    with pytest.raises(PolyscanError, match="is no standard histogram"):
        HistogramStandard.load(tmp_path / "x.json")


def test_histogram_matching_gives_the_reference_its_distribution():
    (values, mask), (reference, other) = scan(0, gain=5), scan(3)
    matched = match_histogram(values, mask, reference, other)(values)
    wanted = np.percentile(reference[other], [5, 25, 50, 75, 95])
    np.testing.assert_allclose(np.percentile(matched[mask], [5, 25, 50, 75, 95]), wanted, rtol=0.02)


def test_whitening_decorrelates_and_can_be_undone():
    values, mask = scan(0)
    rng = np.random.default_rng(1)
    stack = np.stack([values, 0.5 * values + rng.normal(0, 40, SHAPE), rng.normal(5, 2, SHAPE)])
    whitening = Whitening.fit(stack, mask)
    white = whitening(stack)
    np.testing.assert_allclose(np.cov(white[:, mask]), np.eye(3), atol=1e-4)
    np.testing.assert_allclose(whitening.inverse(white), stack, rtol=1e-4, atol=0.05)
    with pytest.raises(PolyscanError, match="copy of others"):
        Whitening.fit(np.stack([values, 2 * values + 1]), mask)
