"""Stacking learns which member to trust, members missing or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from polyscan.ensemble import Stacking
from polyscan.errors import PolyscanError


def test_stacking_learns_whom_to_trust():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    good, noise = expit(3 * (2 * truth - 1) + rng.normal(size=400)), expit(rng.normal(size=400) * 3)
    p = np.stack([np.stack([1 - q, q], axis=1) for q in (good, noise)], axis=1)
    p[300:350, 0] = np.nan
    stacking = Stacking().fit(p[:200], truth[:200])
    found = stacking.predict_proba(p[200:])
    there = np.r_[0:100, 150:200]
    assert (
        (found.argmax(1) == truth[200:])[there].mean() > 0.95 > (p.mean(1).argmax(1)[200:] == truth[200:])[there].mean()
    )
    assert np.abs(found[100:150, 1] - 0.5).max() < 0.3, "with the good member absent little is known"
    with pytest.raises(PolyscanError, match="1 of 400 studies have no member's answer"):
        Stacking().fit(np.where(np.arange(400)[:, None, None] == 7, np.nan, p), truth)
    with pytest.raises(PolyscanError, match="two classes at least"):
        Stacking().fit(p, np.zeros(400))
    with pytest.raises(PolyscanError, match="call fit"):
        Stacking().predict_proba(p)
