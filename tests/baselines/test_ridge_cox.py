"""The baseline of survival against the loss that networks are trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyscan.baselines.ridge_cox import RidgeCox
from polyscan.learning import cox_loss


def patients(count, columns):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, columns))
    time = np.ceil(draw.exponential(np.exp(-x[:, 0])) * 20)  # with ties
    return x, np.stack([time, draw.integers(0, 2, count)], axis=1).astype(float)


@pytest.mark.parametrize("columns", [3, 60])
def test_no_other_coefficients_have_a_smaller_loss(columns):
    x, y = patients(40, columns)
    beta = torch.tensor(RidgeCox(alpha=0.2).fit(x, y).coef_, dtype=torch.float64, requires_grad=True)
    risk = torch.tensor(x) @ beta
    loss = cox_loss(risk.float()[:, None], torch.tensor(y)) + 0.1 * beta.square().sum()
    (slope,) = torch.autograd.grad(loss, beta)
    assert slope.abs().max() < 1e-3
    assert beta[0] > 0.1


def test_a_stronger_penalty_means_smaller_coefficients():
    x, y = patients(40, 3)
    weak, strong = (RidgeCox(alpha=a).fit(x, y) for a in (0.01, 10.0))
    assert np.abs(strong.coef_).max() < 0.2 * np.abs(weak.coef_).max()
    assert weak.score(x, y) > 0.6
