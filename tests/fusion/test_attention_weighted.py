"""Numbers worked out from the formula by an independent NumPy version."""

from __future__ import annotations

import numpy as np
import torch

from polyscan.fusion import AttentionWeighted


def by_hand(features, available, w_m, b, w):
    """e_i = w^T tanh(W_m M_i + b), a = softmax(e) over what is there, F = sum a_i M_i, position by position."""
    out, weights = np.zeros_like(features[:, 0]), np.zeros_like(features[:, :, 0])
    for row in range(features.shape[0]):
        there = np.flatnonzero(available[row])
        for position in np.ndindex(*features.shape[3:]):
            m = [features[(row, i, slice(None), *position)] for i in there]
            e = np.array([w @ np.tanh(w_m @ m_i + b) for m_i in m])
            a = np.exp(e) / np.exp(e).sum()
            out[(row, slice(None), *position)] = sum(a_i * m_i for a_i, m_i in zip(a, m, strict=True))
            weights[(row, there, *position)] = a
    return out, weights


def test_equals_the_formula():
    torch.manual_seed(0)
    net = AttentionWeighted(3, 4, hidden=7)
    features = torch.randn(2, 3, 4, 2, 3)
    available = torch.tensor([[True, True, True], [True, False, True]])
    w_m, b, w = (p.detach().numpy() for p in (net.project.weight, net.project.bias, net.score.weight[0]))
    fused, weights = by_hand(features.numpy(), available.numpy(), w_m, b, w)
    np.testing.assert_allclose(net(features, available).detach().numpy(), fused, atol=1e-6)
    np.testing.assert_allclose(net.weights(features, available).detach().numpy(), weights, atol=1e-6)


def test_weights_sum_to_one_over_what_is_there():
    net = AttentionWeighted(4, 3)
    available = torch.tensor([[True, False, False, True], [False, True, False, False]])
    weights = net.weights(torch.randn(2, 4, 3, 5, 5, 5), available)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 5, 5, 5))
    assert (weights[~available] == 0).all()
    assert (weights[1, 1] == 1).all()
