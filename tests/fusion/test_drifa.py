"""DRIFA and its lean kin, against their formulas worked out by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against, all_of, expit, linear

from polyscan import fusion
from polyscan.fusion.drifa import MultiBranchFusionAttention, MultimodalInformationFusionAttention
from polyscan.fusion.lean_drifa import LeanMultiBranchAttention, LeanMultimodalAttention


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def mfa(x, w, name):
    a1 = expit(linear(w, f"{name}.w1", x))
    a2 = expit(linear(w, f"{name}.w2", a1))
    a3 = expit(linear(w, f"{name}.w3", a1 + a2))
    a4 = expit(linear(w, f"{name}.w4", a3))
    p = np.concatenate([a1.mean(1) + a2.max(1), a3.mean(1) + a4.max(1)])[:, None]
    u = expit(linear(w, f"{name}.v1", x)).mean(1)[:, None]
    local = u + expit(linear(w, f"{name}.v2", u))
    gate = expit(w[f"{name}.g"] * expit(linear(w, f"{name}.f", p)) + w[f"{name}.s"][:, None] * local)
    return x * gate * w[f"{name}.alpha"][:, None]


def test_drifa_as_published():
    pools = (np.min, np.mean, np.max)

    def drifa(there, w):
        gated = {m: mfa(x, w, f"within.{m}") for m, x in there.items()}
        scale = 3 / len(there)
        merged = sum(
            expit(linear(w, "between.f", scale * sum(q(x, axis=1) for x in gated.values())[:, None])) for q in pools
        )
        v = {m: expit(w["between.v.weight"][m] @ x + w["between.v.bias"][m][:, None]) for m, x in gated.items()}
        local = scale * sum(sum(q(x, axis=1) for q in pools) for x in v.values())[:, None]
        gate = expit(w["between.g"] * merged + w["between.s"][:, None] * local)
        out = {m: x * gate * w["between.alpha"][m][:, None] for m, x in gated.items()}
        return linear(w, "project", all_of(out, 3, 4))

    against(fusion.DRIFA(3, 4), drifa)


@pytest.mark.parametrize("channels", [1, 8, 64])
def test_drifa_has_the_published_number_of_parameters(channels):
    c = channels
    assert parameters(MultiBranchFusionAttention(c)) == 8 * c**2 + 9 * c + 1
    for m in (1, 2, 4):
        assert parameters(MultimodalInformationFusionAttention(m, c)) == (m + 1) * (c**2 + c) + (m + 1) * c + 1
    assert parameters(MultiBranchFusionAttention(512)) == 2_101_761
    assert parameters(MultimodalInformationFusionAttention(2, 512)) == 789_505


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e4, -1e4])
def test_gates_of_drifa_keep_their_bounds(value):
    """With g, s and alpha at one: from sigma(0) to sigma(1 + 2) within, to sigma(3 + 3 * 2) between two modalities."""
    torch.manual_seed(0)
    x = torch.full((2, 8, 3, 3), value)
    gate = MultiBranchFusionAttention(8)(x) / x
    assert gate.min() >= 0.5
    assert gate.max() <= 1 / (1 + np.exp(-3)) + 1e-6
    both = torch.stack([x, x], dim=1)
    between = MultimodalInformationFusionAttention(2, 8)(both, torch.ones(2, 2, dtype=torch.bool)) / both
    assert between.min() >= 0.5
    assert between.max() <= 1 / (1 + np.exp(-9)) + 1e-6
    net = MultiBranchFusionAttention(8)
    torch.nn.init.constant_(net.alpha, 3.0)
    assert (net(x) / x >= 1.5).all(), "alpha multiplies the gate"


def test_lean_gates_start_at_one_and_spread():
    torch.manual_seed(0)
    x, there = torch.randn(64, 2, 16, 5, 5), torch.ones(64, 2, dtype=torch.bool)
    within, between = LeanMultiBranchAttention(16), LeanMultimodalAttention(2, 16)
    torch.testing.assert_close(within(x[:, 0]), x[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(between(x, there), x, rtol=0, atol=0)
    assert parameters(within) < parameters(MultiBranchFusionAttention(16)) / 5


def test_lean_drifa():
    def drifa(there, w):
        gated = {}
        for m, x in there.items():
            name = f"within.{m}"
            a1 = np.maximum(linear(w, f"{name}.w1", x), 0)
            a2 = np.maximum(linear(w, f"{name}.w2", a1), 0)
            a3 = np.maximum(linear(w, f"{name}.w3", a1 + a2), 0)
            a4 = np.maximum(linear(w, f"{name}.w4", a3), 0)
            u = np.maximum(linear(w, f"{name}.v", x), 0).mean(1)
            z = np.concatenate([a1.mean(1) + a2.max(1), a3.mean(1) + a4.max(1), u])[:, None]
            gated[m] = x * 2 * expit(linear(w, f"{name}.f", z))
        pools = (np.min, np.mean, np.max)
        extremes = np.concatenate([np.mean([q(x, axis=1) for x in gated.values()], axis=0) for q in pools])
        together = np.maximum(linear(w, "between.f", extremes[:, None]), 0)[:, 0]
        out = {}
        for m, x in gated.items():
            v = np.maximum(w["between.v.weight"][m] @ x + w["between.v.bias"][m][:, None], 0)
            each = np.mean([q(v, axis=1) for q in pools], axis=0)
            z = w["between.gates.weight"][m] @ np.concatenate([together, each]) + w["between.gates.bias"][m]
            out[m] = x * 2 * expit(z)[:, None]
        return linear(w, "project", all_of(out, 3, 8))

    against(fusion.LeanDRIFA(3, 8), drifa)
