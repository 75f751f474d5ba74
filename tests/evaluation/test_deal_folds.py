from __future__ import annotations

import numpy as np
import pytest

from polyscan.evaluation.folds import deal_folds


def test_groups_are_whole_and_strata_spread():
    groups, strata = [str(k // 3) for k in range(300)], [str(k // 3 % 2) for k in range(300)]
    folds = np.array(deal_folds(groups, strata, 5))
    assert all(len(set(folds[3 * k : 3 * k + 3])) == 1 for k in range(100))
    for k in range(5):
        assert np.mean(np.array(strata)[folds == k] == "1") == pytest.approx(0.5, abs=0.1)
    assert deal_folds(["a", "a"], ["", ""], 5) == [0, 0]
    assert sorted(deal_folds(list("abcdef"), list("uvwxyz"), 3)) == [0, 0, 1, 1, 2, 2]
    assert deal_folds(groups, strata, 5) != deal_folds(groups, strata, 5, seed=1)
