"""The signal equations, against the literature's orders and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.phantom.random_field import RandomField
from polyscan.phantom.scanner import (
    FLAIR_TI,
    SEQUENCES,
    inversion_recovery,
    nulling_time,
    spin_echo,
    spoiled_gradient_echo,
)
from polyscan.phantom.tissues import TISSUES


def signal(modality, tissue):
    return SEQUENCES[modality][1](TISSUES[tissue])


def test_orders_of_contrast():
    assert signal("T1", "scalp") > signal("T1", "white") > signal("T1", "grey") > signal("T1", "csf")
    assert signal("T2", "csf") > signal("T2", "oedema") > signal("T2", "grey") > signal("T2", "white")
    assert signal("FLAIR", "oedema") > signal("FLAIR", "grey") > 10 * signal("FLAIR", "csf")
    assert signal("T1c", "rim") > 1.5 * signal("T1", "rim")
    assert signal("T1c", "rim") > signal("T1c", "white")
    assert signal("T1c", "csf") == signal("T1", "csf")
    assert all(signal(m, "air") == 0 for m in SEQUENCES)


def test_inversion_time_nulls_csf():
    csf = TISSUES["csf"]
    assert round(nulling_time(csf, 9000)) == FLAIR_TI
    assert inversion_recovery(csf, 9000, 120, nulling_time(csf, 9000)) == pytest.approx(0, abs=1e-12)


def test_limits_of_the_equations():
    white = TISSUES["white"]
    assert spin_echo(white, 1e9, 0) == pytest.approx(white.pd)
    assert spoiled_gradient_echo(white, 1e9, 0, 90) == pytest.approx(white.pd)
    ernst = np.degrees(np.arccos(np.exp(-18 / white.t1)))
    best = max(range(1, 90), key=lambda flip: spoiled_gradient_echo(white, 18, 4, flip))
    assert best == round(ernst)


def test_random_field_is_standard_and_smooth():
    points = np.random.default_rng(0).uniform(-200, 200, (5000, 3))
    values = np.concatenate([RandomField(np.random.default_rng(s), 30.0, features=64)(points) for s in range(20)])
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)
    field = RandomField(np.random.default_rng(1), 30.0)
    assert np.abs(field(points) - field(points + 0.01)).max() < 0.01
