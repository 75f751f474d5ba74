"""Time points: the formulas, and what days mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against, attention, flags, linear, norm

from polyscan.fusion.temporal import TemporalAttention, TemporalConcatenation, TemporalDifference

LAYERS = [TemporalAttention, TemporalConcatenation, TemporalDifference]
DAYS = torch.tensor([[0.0, 90.0, 30.0], [5.0, 6.0, 7.0], [100.0, 10.0, 400.0], [3.0, 1.0, 2.0]], dtype=torch.float64)
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


def test_difference():
    def by_hand(there, w, days):
        first, last = min(there, key=lambda t: days[t]), max(there, key=lambda t: days[t])
        gap = np.full((1, there[last].shape[1]), np.log1p(days[last] - days[first]))
        return linear(w, "project", np.concatenate([there[last], there[last] - there[first], gap]))

    against(TemporalDifference(3, 4), by_hand, days=DAYS)


def test_concatenation():
    def by_hand(there, w, days):
        voxels = next(iter(there.values())).shape[1]
        parts = [there.get(t, np.zeros((4, voxels))) for t in range(3)]
        first = min(days[t] for t in there)
        since = [np.full((1, voxels), np.log1p(days[t] - first) if t in there else 0.0) for t in range(3)]
        return linear(w, "project", np.concatenate([*parts, flags(there, 3, voxels), *since]))

    against(TemporalConcatenation(3, 4), by_hand, days=DAYS)


def test_attention():
    def by_hand(there, w, days):
        last = max(there, key=lambda t: days[t])
        out = there[last].copy()
        for voxel in range(out.shape[1]):
            tokens = []
            for t, x in there.items():
                ago = days[last] - days[t]
                phi = [np.sin(ago), np.cos(ago), np.sin(ago / 100), np.cos(ago / 100)]
                tokens.append(norm(w, "norm", x[:, voxel : voxel + 1]) + np.array(phi)[:, None])
            asking = tokens[list(there).index(last)]
            out[:, voxel] += attention(w, "attention", asking, np.concatenate(tokens, axis=1), 4)[:, 0]
        return out

    against(TemporalAttention(3, 4), by_hand, days=DAYS)


@each
def test_only_differences_between_days_count_and_absent_days_are_not_read(layer):
    torch.manual_seed(0)
    net, features = layer(3, 4), torch.randn(2, 3, 4, 5)
    available = torch.tensor([[True, True, False], [True, True, True]])
    days = torch.tensor([[0.0, 40.0, 7.0], [1.0, 2.0, 9.0]])
    out = net(features, available, days)
    torch.testing.assert_close(net(features, available, days + 1000), out, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net(features, available, days.long()), out)
    junk = days.clone()
    junk[0, 2] = torch.nan
    torch.testing.assert_close(net(features, available, junk), out, rtol=0, atol=0)
    assert not torch.allclose(net(features, available, days * 2), out), "how long apart must count"
    torch.testing.assert_close(torch.jit.script(net)(features, available, days), out)
    with pytest.raises(ValueError, match=r"days have shape \[2, 2\]; expected \[2, 3\]"):
        net(features, available, days[:, :2])


@pytest.mark.parametrize("layer", [TemporalAttention, TemporalDifference])
def test_order_of_time_points_does_not_matter_where_days_tell_it(layer):
    torch.manual_seed(0)
    net, features, available = layer(3, 4), torch.randn(2, 3, 4, 5), torch.ones(2, 3, dtype=torch.bool)
    days, order = torch.tensor([[0.0, 40.0, 7.0], [1.0, 2.0, 9.0]]), [2, 0, 1]
    torch.testing.assert_close(net(features[:, order], available, days[:, order]), net(features, available, days))


@pytest.mark.parametrize("layer", [TemporalAttention, TemporalDifference])
@pytest.mark.parametrize("tied", [[0.0, 40.0, 40.0], [0.0, 0.0, 9.0], [5.0, 5.0, 5.0]])
def test_order_of_scans_of_one_day_does_not_matter(layer, tied):
    torch.manual_seed(0)
    net, features, available = layer(3, 4), torch.randn(2, 3, 4, 5), torch.tensor([[True] * 3, [True, True, False]])
    days = torch.tensor([tied, tied])
    expected = net(features, available, days)
    for order in ([0, 2, 1], [1, 0, 2], [2, 1, 0]):
        got = net(features[:, order], available[:, order], days[:, order])
        torch.testing.assert_close(got, expected)
