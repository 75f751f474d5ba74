from __future__ import annotations

import pytest
import torch

from polyscan.learning import RandAbsentd


def test_an_entry_is_taken_away_as_a_whole_and_as_often_as_asked():
    drop, row = RandAbsentd("clinical", prob=0.3).set_random_state(0), torch.tensor([1.0, 2.0])
    seen = [drop({"clinical": row})["clinical"] for _ in range(500)]
    assert all(torch.equal(x, row) or bool(x.isnan().all()) for x in seen)
    assert 0.25 < sum(bool(x.isnan().all()) for x in seen) / 500 < 0.35
    assert row.tolist() == [1, 2]
    with pytest.raises(ValueError, match="expected 0 <= prob < 1"):
        RandAbsentd("clinical", prob=1.0)
