from __future__ import annotations

import numpy as np
import torch

from polyscan.fusion import Concatenation


def test_is_a_linear_map_of_features_and_availability():
    torch.manual_seed(0)
    net = Concatenation(2, 3)
    features, available = torch.randn(2, 2, 3, 4), torch.tensor([[True, True], [False, True]])
    weight, bias = net.project.weight.detach().numpy(), net.project.bias.detach().numpy()
    expected = np.zeros((2, 3, 4))
    for row in range(2):
        for x in range(4):
            parts = [features[row, m, :, x].numpy() * bool(available[row, m]) for m in range(2)]
            expected[row, :, x] = weight @ np.concatenate([*parts, available[row].numpy()]) + bias
    np.testing.assert_allclose(net(features, available).detach().numpy(), expected, atol=1e-6)


def test_tells_absent_from_zero():
    net, zeros = Concatenation(2, 3), torch.zeros(1, 2, 3)
    there = net(zeros, torch.tensor([[True, True]]))
    assert not torch.allclose(there, net(zeros, torch.tensor([[True, False]])))
