"""A threshold loses no more on new subjects, on average, than was promised."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.errors import PolyscanError
from polyscan.inference.risk_control import controlled_column


@pytest.mark.parametrize(("subjects", "risk"), [(9, 0.1), (12, 0.1), (40, 0.1), (8, 0.3)])
def test_new_subjects_lose_no_more_than_was_promised(subjects, risk):
    """And not much less: at most 2 / (n + 1), as the paper shows, where losses do not jump."""
    generator = np.random.default_rng(0)
    thresholds = np.linspace(0, 1, 201)
    lost = []
    for _ in range(4000):
        hardness = generator.gamma(2.0, 1.5, size=(subjects + 1, 1))  # some lose early, some late
        losses = thresholds ** (4 / hardness)
        lost.append(losses[-1, controlled_column(losses[:-1], risk)])
    error = 3 * np.std(lost) / np.sqrt(len(lost))
    assert risk - 2 / (subjects + 1) - 0.01 - error < np.mean(lost) < risk + error
    assert np.mean(lost) > 0 or risk * (subjects + 1) == 1  # nine subjects promise a tenth where they lose nothing


def test_it_is_the_last_threshold_of_the_inequality():
    losses = np.array([[0.0, 0.2, 0.2, 0.6], [0.0, 0.0, 0.4, 0.4], [0.0, 0.1, 0.3, 1.0], [0.0, 0.1, 0.1, 0.5]])
    assert [controlled_column(losses, risk) for risk in (0.2, 0.27, 0.28, 0.39, 0.4, 0.69, 0.7)] == [
        0,
        0,
        1,
        1,
        2,
        2,
        3,
    ]


def test_a_higher_risk_takes_no_lower_threshold():
    losses = np.sort(np.random.default_rng(1).random((30, 50)), axis=1) * np.linspace(0, 1, 50)
    columns = [controlled_column(losses, risk) for risk in np.linspace(0.04, 0.9, 40)]
    assert columns == sorted(columns)
    assert columns[0] < columns[-1]


@pytest.mark.parametrize(("risk", "least"), [(0.1, 9), (0.05, 19), (0.3, 3), (0.5, 1)])
def test_too_few_subjects_promise_nothing(risk, least):
    assert controlled_column(np.zeros((least, 5)), risk) == 4
    with pytest.raises(PolyscanError, match=rf"from {least - 1} subjects, .* lose {1 / least:.4g} at the least"):
        controlled_column(np.zeros((least - 1, 5)), risk)


def test_subjects_of_whom_nothing_is_found_promise_nothing():
    losses = np.ones((19, 5)) * (np.arange(19) < 2)[:, None]
    assert controlled_column(losses, 0.15) == 4
    with pytest.raises(PolyscanError, match=r"from 19 subjects, .* lose 0\.15 at the least"):
        controlled_column(losses, 0.14)
