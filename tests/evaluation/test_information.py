"""Information of two sources against laws whose information is known in closed form."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from polyscan.evaluation.information import entropy, partial_information, predicted_information


def of_law(law):
    """What the exact probabilities of a law tell: (a, b, class) and how often each comes, out of its total."""
    studies = np.array([case for case, often in law.items() for _ in range(often)])
    y = studies[:, 2]

    def bits(read):
        same = (studies[:, None, read] == studies[:, read]).all(2)
        return predicted_information(np.stack([(same & (y == k)).sum(1) / same.sum(1) for k in range(2)], 1), y)

    return partial_information(bits([0]), bits([1]), bits([0, 1]))


BITS = list(product((0, 1), repeat=2))
NOISY = 0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)  # less the entropy of a class that is told with 3 of 4


@pytest.mark.parametrize(
    ("law", "redundant", "first", "second", "synergistic"),
    [
        ({(a, b, a ^ b): 1 for a, b in BITS}, (0, 0), (0, 0), (0, 0), (1, 1)),
        ({(a, a, a): 1 for a in (0, 1)}, (1, 1), (0, 0), (0, 0), (0, 0)),
        ({(a, b, a): 1 for a, b in BITS}, (0, 0), (1, 1), (0, 0), (0, 0)),
        ({(a, b, b): 1 for a, b in BITS}, (0, 0), (0, 0), (1, 1), (0, 0)),
        # The second is a copy of the first in 3 of 4: what it tells is no more than what both tell.
        ({(a, a ^ wrong, a): 1 if wrong else 3 for a, wrong in BITS}, (1 + NOISY,) * 2, (-NOISY,) * 2, (0, 0), (0, 0)),
        # AND: 3/4 log2(4/3) + 1/4 log2 4 = 0.811 of two sources with 0.311 each; Williams and Beer have R = 0.311.
        ({(a, b, a & b): 1 for a, b in BITS}, (0, 0.311), (0, 0.311), (0, 0.311), (0.189, 0.5)),
    ],
)
def test_what_is_told_by_both_by_one_and_by_both_at_once(law, redundant, first, second, synergistic):
    found = of_law(law)
    for bounds, expected in zip(found, (redundant, first, second, synergistic), strict=True):
        assert bounds == pytest.approx(expected, abs=5e-4)


def test_independent_evidence_that_adds_up_may_be_redundant_or_not():
    """Two answers, each right in 3 of 4: independent given the class, their parts are not determined by information."""
    law = {(y ^ a, y ^ b, y): (1 if a else 3) * (1 if b else 3) for y in (0, 1) for a, b in BITS}
    found = of_law(law)
    each = 1 + NOISY
    both = 10 / 16 * (1 + 0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))  # alike in 10 of 16, and then right in 9 of 10
    assert found.redundant == pytest.approx((2 * each - both, each))
    assert found.unique_first == found.unique_second == pytest.approx((0, both - each))
    assert found.synergistic == pytest.approx((0, both - each))


def test_a_model_tells_no_more_than_there_is_and_no_less_than_nothing():
    y = np.array([0, 0, 0, 1])
    assert entropy(y) == pytest.approx(0.8113, abs=1e-4)
    assert predicted_information(np.eye(2)[y], y) == pytest.approx(entropy(y))
    assert predicted_information([[0.75, 0.25]] * 4, y) == pytest.approx(0, abs=1e-12)
    assert predicted_information([[0.1, 0.9]] * 4, y) == 0
    assert entropy([1, 1]) == 0


def test_who_reads_both_can_do_what_who_reads_one_does():
    assert partial_information(0.4, 0.2, 0.3) == partial_information(0.4, 0.2, 0.4)
