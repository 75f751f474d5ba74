"""What a trained network says that a modality is worth which holds nothing but noise."""

from __future__ import annotations

import numpy as np
import torch

from polyscan.compare.network import TrainedNetwork
from polyscan.compare.protocol import Protocol, Strategy
from polyscan.inference import shapley_values

TELLS, NOISE = (0, 1), 2


def test_a_modality_of_noise_gets_none_of_a_trained_networks_answer():
    """Over 200 studies that it has not learnt from, of the probability of the true class."""
    chance = np.random.default_rng(0)
    y = torch.from_numpy(chance.integers(0, 2, 800))
    x = torch.from_numpy(chance.standard_normal((800, 3, 4))).float()
    x[:, list(TELLS), 0] += 1.5 * (2 * y[:, None].float() - 1)
    protocol = Protocol({}, {}, epochs=15, parameters=1500, batch_size=50, learning_rate=0.01)
    network = TrainedNetwork(Strategy(), protocol, x[:600], y[:600], 2, seed=0)

    def right(subset):
        asked = x[600:].clone()
        asked[:, [m for m in range(3) if m not in subset]] = torch.nan
        return torch.from_numpy(network.probabilities(asked))[torch.arange(200), y[600:]]

    values, _ = shapley_values(right, 3)
    assert torch.allclose(values.sum(0), right({0, 1, 2}) - right(set()), atol=1e-5)
    worth, error = values.mean(1), values.std(1) / 200**0.5
    assert (worth[list(TELLS)] > 0.15).all()
    assert abs(worth[NOISE]) < min(3 * error[NOISE], 0.05 * worth[list(TELLS)].min())
