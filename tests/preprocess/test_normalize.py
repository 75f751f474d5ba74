from __future__ import annotations

import numpy as np
import pytest

from polyscan.preprocess.mask import foreground
from polyscan.preprocess.normalize import z_score


def test_z_score_inside_the_mask():
    rng = np.random.default_rng(0)
    values, mask = rng.normal(100, 20, (10, 10, 10)), np.zeros((10, 10, 10), bool)
    mask[2:8] = True
    values[~mask] = 0
    values[3, 3, 3] = np.nan
    out, mean, deviation = z_score(values, mask)
    assert np.nanmean(out[mask]) == pytest.approx(0, abs=1e-6)
    assert np.nanstd(out[mask]) == pytest.approx(1, abs=1e-6)
    assert np.isnan(out[3, 3, 3])
    np.testing.assert_allclose(out[0], -mean / deviation, rtol=1e-6)


def test_z_score_without_contrast_is_refused():
    with pytest.raises(ValueError, match="no contrast"):
        z_score(np.ones((3, 3)), np.ones((3, 3), bool))


def test_foreground_is_a_ball_in_noise_whatever_the_offset():
    x = np.indices((40, 40, 40)) - 20
    ball = (x**2).sum(0) < 14**2
    rng = np.random.default_rng(0)
    for offset in (0, -300, 1000):  # what was resampled or normalised can be negative inside the body
        values = rng.normal(0, 3, ball.shape) + 100 * ball + offset
        values[2:4, 2:4, 2:4] += 100
        found = foreground(values)
        assert 2 * (found & ball).sum() / (found.sum() + ball.sum()) > 0.97
        assert not found[2:4, 2:4, 2:4].any()


def test_ct_body_is_what_is_denser_than_air():
    values = np.full((20, 20, 20), -1000.0)
    values[4:16, 4:16, 4:16] = 30
    values[8:12, 8:12, 8:12] = -900  # air inside the body belongs to it
    values[:2] = np.nan
    found = foreground(values, unit="HU")
    assert found[5:15, 5:15, 5:15].all()
    assert found[9:11, 9:11, 9:11].all()
    assert not found[:2].any()
