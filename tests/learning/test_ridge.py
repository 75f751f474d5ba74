"""The linear model of tables: its penalties, its subsets, and what dropout draws of it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from polyscan.fusion import Sum
from polyscan.learning import FitRidge
from polyscan.learning.ridge import fit_ridge
from polyscan.networks import CoxHead, FusionNet, RidgeNet, VectorEncoder

BEGIN = SimpleNamespace(state=SimpleNamespace(epoch=0))


def squared(answer, target):
    return (answer[:, 0] - target[:, 0]).square().mean()


def network(names=("told", "noise")):
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=30, channels=(4,))
    net = RidgeNet(FusionNet(names, encoder, "output", Sum, CoxHead, spatial_dims=1), 30)
    for parameter in net.network.parameters():
        torch.nn.init.zeros_(parameter)
    return net.eval()


def cohort(studies=80):
    """The first table tells the label by three of its columns, the second nothing."""
    image = torch.randn(studies, 2, 30, generator=torch.Generator().manual_seed(1))
    image[:, 0, 3:] = torch.nan
    return image, image[:, 0, :3].sum(1, keepdim=True) - 1.0


def items(image, target):
    return [{"image": x, "label": y} for x, y in zip(image, target, strict=True)]


def test_one_table_is_ridge_regression():
    image, target = cohort()
    block, centred = image[:, 1], target - target.mean()
    model = fit_ridge([block], centred, squared, groups=5)[0, 0].numpy()
    norms = []
    for exponent in range(-4, 4):
        # loss / n + 10^e |b|^2 / 2 is scikit-learn's loss + alpha |b|^2 with alpha = n 10^e / 2
        reference = Ridge(alpha=len(block) * 10.0**exponent / 2, fit_intercept=False).fit(block, centred[:, 0])
        norms.append(np.abs(reference.coef_ - model).max())
    assert min(norms) < 1e-3


def test_a_table_that_tells_nothing_has_the_stronger_penalty_and_each_subset_its_own_model():
    net, (image, target) = network(), cohort()
    centred = target - target.mean()
    FitRidge(net, [*items(image, centred), {"image": image[0], "label": torch.tensor([torch.nan])}], squared)(BEGIN)
    told, noise = net.coefficients[3, 0].unflatten(0, (2, 30)).abs().amax(1)
    assert told > 20 * noise
    unseen = torch.randn(200, 2, 30)
    unseen[:, 0, 3:] = torch.nan
    with torch.inference_mode():
        both = net(unseen)
        assert torch.corrcoef(torch.stack([both[:, 0], unseen[:, 0, :3].sum(1)]))[0, 1] > 0.99
        unseen[:, 0] = torch.nan
        assert net(unseen).std() < 0.3 * both.std()


def test_dropout_draws_the_linear_part_as_groups_differ():
    net, (image, target) = network(), cohort()
    target = target + 3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    FitRidge(net, items(image, target - target.mean()), squared)(BEGIN)
    with torch.inference_mode():
        features, available = net.encode(image[:1])
        linear = net.fuse(features, available)[0][0, :, 0]
        sample = net.sampler(features, available, [30])
        net.jackknife.train()
        drawn = torch.stack([sample() for _ in range(4000)])
        net.jackknife.eval()
        assert sample() == linear[0]
    assert float(drawn.mean()) == pytest.approx(float(linear[0]), abs=0.05 * float(drawn.std()))
    assert float(drawn.var()) == pytest.approx(float(0.8 * (linear[1:] - linear[0]).square().sum()), rel=0.1)


def test_what_goes_on_from_a_checkpoint_is_not_fitted_again_and_too_many_tables_are_refused():
    net, (image, target) = network(), cohort()
    FitRidge(net, items(image, target), squared)(SimpleNamespace(state=SimpleNamespace(epoch=3)))
    assert not net.coefficients.any()
    with pytest.raises(ValueError, match="7 modalities"):
        network([str(k) for k in range(7)])
