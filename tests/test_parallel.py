from __future__ import annotations

import pytest

from polyscan.parallel import run_each


def inverse(number: int) -> float:
    return 1 / number


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_fails_stops_no_other(jobs):
    results = dict(run_each(inverse, [1, 0, 4], jobs))
    assert str(results.pop(0)) == "ZeroDivisionError: division by zero"
    assert results == {1: 1.0, 4: 0.25}


def test_nothing_to_do():
    assert list(run_each(inverse, [])) == []
