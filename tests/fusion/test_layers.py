"""Every layer keeps the one promise: what stands in an absent modality's place cannot change the output."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polyscan import fusion

LAYERS = fusion.layers()
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


def rows(batch: int, modalities: int, seed: int) -> torch.Tensor:
    """Random availability with at least one True a row."""
    generator = torch.Generator().manual_seed(seed)
    available = torch.rand(batch, modalities, generator=generator) < 0.5
    available[torch.arange(batch), torch.randint(modalities, (batch,), generator=generator)] = True
    return available


@each
@settings(max_examples=25, deadline=None)
@given(
    modalities=st.integers(1, 5),
    spatial=st.sampled_from([(), (5,), (4, 3), (3, 4, 2)]),
    seed=st.integers(0, 1000),
    junk=st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30]),
)
def test_absent_modality_changes_neither_value_nor_gradient(layer, modalities, spatial, seed, junk):
    torch.manual_seed(seed)
    net = layer(modalities, 6)
    available = rows(3, modalities, seed)
    clean = torch.randn(3, modalities, 6, *spatial)
    spoiled = torch.where(available.reshape(3, modalities, *[1] * (1 + len(spatial))), clean, torch.tensor(junk))
    results = []
    for features in (clean, spoiled):
        features = features.clone().requires_grad_()
        net.zero_grad()
        out = net(features, available)
        assert out.shape == (3, 6, *spatial)
        out.square().sum().backward()
        results.append((out.detach(), features.grad, [p.grad.clone() for p in net.parameters()]))
    (value, gradient, inner), (value2, gradient2, inner2) = results
    torch.testing.assert_close(value, value2, rtol=0, atol=0)
    torch.testing.assert_close(gradient, gradient2, rtol=0, atol=0)
    torch.testing.assert_close(inner, inner2, rtol=0, atol=0)
    assert gradient2[~available].abs().sum() == 0


@each
def test_half_precision_is_finite_and_close(layer):
    torch.manual_seed(0)
    net, features, available = layer(3, 8), torch.randn(2, 3, 8, 4, 4, 4), rows(2, 3, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(features, available)
    torch.testing.assert_close(half.float(), net(features, available), rtol=0.1, atol=0.1)
    assert net.bfloat16()(features.bfloat16(), available).isfinite().all()


@each
def test_rows_do_not_see_each_other(layer):
    torch.manual_seed(0)
    net, features, available = layer(4, 5), torch.randn(6, 4, 5, 3, 3), rows(6, 4, 3)
    alone = torch.cat([net(features[i : i + 1], available[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(net(features, available), alone)


@each
def test_compiles_to_torchscript(layer):
    net, features, available = layer(3, 4), torch.randn(2, 3, 4, 5, 5), rows(2, 3, 1)
    torch.testing.assert_close(torch.jit.script(net)(features, available), net(features, available))


@each
def test_wrong_shapes_are_refused_with_what_was_expected(layer):
    net = layer(3, 4)
    with pytest.raises(ValueError, match=r"expected \(batch, 3 modalities, 4 channels"):
        net(torch.randn(2, 3, 5, 8), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected \[2, 3\]"):
        net(torch.randn(2, 3, 4, 8), torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least 1"):
        layer(0, 4)


@pytest.mark.parametrize("layer", [fusion.Mean, fusion.AttentionWeighted])
def test_order_of_modalities_does_not_matter(layer):
    torch.manual_seed(0)
    net, features, available = layer(4, 5), torch.randn(2, 4, 5, 3), rows(2, 4, 3)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(net(features[:, order], available[:, order]), net(features, available))
