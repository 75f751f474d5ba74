"""Tables: tokens, log-ratios, and the layers that let a table act on features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import attention, linear, norm, two
from hypothesis import given, settings, strategies as st

from polyscan.fusion import table
from polyscan.fusion.table import DAFT, FiLM, HyperFusion, TableAttention, TableTokens, VectorToken, centred_log_ratio

LAYERS = table.layers()
each = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
NAN = float("nan")


def test_tokens():
    torch.manual_seed(0)
    net = TableTokens(2, [3, 2], width=5)
    tokens, recorded = net(torch.tensor([[1.5, NAN, 2, 1], [0, -1, NAN, 0]]))
    w, b, e = (p.detach() for p in (net.weight, net.bias, net.values))
    torch.testing.assert_close(tokens[0, 0], 1.5 * w[0] + b[0])
    torch.testing.assert_close(tokens[0, 2], e[2] + b[2])
    torch.testing.assert_close(tokens[0, 3], e[3 + 1] + b[3])
    assert recorded.tolist() == [[True, False, True, True], [True, True, False, True]]
    assert (tokens[~recorded] == 0).all()
    bound = 1 / 5**0.5
    assert all(0.5 * bound < p.abs().max() <= bound for p in (w, b, e))


def test_tables_that_do_not_fit_are_refused():
    net = TableTokens(1, [3])
    with pytest.raises(ValueError, match="expected \\(batch, 2 variables\\)"):
        net(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="categorical variable 0 has a value outside 0 to 2"):
        net(torch.tensor([[0.0, 3.0]]))
    with pytest.raises(ValueError, match="one variable at least"):
        TableTokens(0)
    assert TableTokens(1)(torch.zeros(1, 1))[0].shape == (1, 1, 32)


def test_vector_token():
    net = VectorToken(5, width=3)
    token, recorded = net(torch.tensor([[1.0, 2, 3, 4, 5], [1, NAN, 3, 4, 5]]))
    torch.testing.assert_close(token[0, 0], net.project(torch.tensor([1.0, 2, 3, 4, 5])))
    assert recorded.tolist() == [[True], [False]]
    assert (token[1] == 0).all()


def test_centred_log_ratio_takes_the_depth_out_and_gives_it_beside():
    counts = torch.tensor([[10.0, 100, 1000], [NAN, 5, 50], [NAN, NAN, NAN]])
    out = centred_log_ratio(counts, pseudocount=0).numpy()
    np.testing.assert_allclose(out[0, :3], np.log([0.1, 1, 10]), atol=1e-6)
    np.testing.assert_allclose(out[0, 3], np.log10(1110), atol=1e-6)
    deeper = centred_log_ratio(7 * counts, pseudocount=0).numpy()
    np.testing.assert_allclose(deeper[0, :3], out[0, :3], atol=1e-6)
    assert np.isnan(out[1]).tolist() == [True, False, False, False]
    assert np.isnan(out[2]).all()
    with pytest.raises(ValueError, match="raw counts"):
        centred_log_ratio(torch.tensor([[-1.0, 2]]))


def against(net, formula):
    torch.manual_seed(0)
    net = net.double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features, tokens = torch.randn(3, 4, 3, 2).double(), torch.randn(3, 2, 5).double()
    recorded = torch.tensor([[True, True], [False, True], [True, False]])
    got = net(features, tokens, recorded).detach().numpy()
    w = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    for row in range(3):
        x, t, there = features[row].reshape(4, 6).numpy(), tokens[row].numpy(), recorded[row].numpy()
        np.testing.assert_allclose(got[row].reshape(4, 6), formula(x, t, there, w), atol=1e-9)


def row(t, there):
    return np.concatenate([(t * there[:, None]).ravel(), there])[:, None]


def test_film():
    def by_hand(x, t, there, w):
        gamma, beta = np.split(two(w, "mlp", row(t, there)), 2)
        return (1 + gamma) * x + beta

    against(FiLM(4, 2, 5), by_hand)


def test_daft():
    def by_hand(x, t, there, w):
        z = np.concatenate([x.mean(1)[:, None], row(t, there)])
        alpha, beta = np.split(w["bottleneck.2.weight"] @ np.maximum(w["bottleneck.0.weight"] @ z, 0), 2)
        return (1 + alpha) * x + beta

    against(DAFT(4, 2, 5, squeeze=2), by_hand)


def test_hyper_fusion():
    def by_hand(x, t, there, w):
        z = row(t, there)
        inward = two(w, "inward", z).reshape(3, 5)
        outward = two(w, "outward", z).reshape(4, 3)
        return x + outward @ np.maximum(inward[:, :4] @ x + inward[:, 4:], 0)

    against(HyperFusion(4, 2, 5, rank=3), by_hand)


def test_table_attention():
    def by_hand(x, t, there, w):
        return x + attention(w, "attention", norm(w, "norm", x), linear(w, "stem", t[there].T), 4)

    against(TableAttention(4, 2, 5), by_hand)


@each
@settings(max_examples=15, deadline=None)
@given(
    spatial=st.sampled_from([(), (5,), (4, 3), (3, 4, 2)]),
    seed=st.integers(0, 1000),
    junk=st.sampled_from([NAN, float("inf"), 1e30]),
)
def test_absent_variable_changes_neither_value_nor_gradient(layer, spatial, seed, junk):
    torch.manual_seed(seed)
    net, recorded = layer(6, 3, 4), torch.rand(4, 3) < 0.5
    recorded[0] = False
    features, clean = torch.randn(4, 6, *spatial, requires_grad=True), torch.randn(4, 3, 4)
    spoiled = torch.where(recorded[:, :, None], clean, torch.tensor(junk))
    results = []
    for tokens in (clean.requires_grad_(), spoiled.requires_grad_()):
        net.zero_grad()
        out = net(features, tokens, recorded)
        assert out.shape == features.shape
        out.square().sum().backward()
        results.append([out.detach(), tokens.grad, *[p.grad.clone() for p in net.parameters()]])
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert results[1][1][~recorded].abs().sum() == 0
    torch.testing.assert_close(results[0][0][0], features[0], rtol=0, atol=0)


@each
def test_scripts_runs_in_half_precision_and_says_what_does_not_fit(layer):
    torch.manual_seed(0)
    net, recorded = layer(8, 2, 4), torch.tensor([[True, True], [False, True]])
    features, tokens = torch.randn(2, 8, 3, 3), torch.randn(2, 2, 4)
    torch.testing.assert_close(torch.jit.script(net)(features, tokens, recorded), net(features, tokens, recorded))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = net(features, tokens, recorded)
    torch.testing.assert_close(half.float(), net(features, tokens, recorded), rtol=0.1, atol=0.1)
    with pytest.raises(ValueError, match="expected \\[2, 2, 4\\]"):
        net(features, tokens[:, :1], recorded)
    with pytest.raises(ValueError, match="expected \\(batch, 8"):
        net(features[:, :3], tokens, recorded)
    with pytest.raises(ValueError, match="at least 1"):
        layer(8, 0)
