"""The simple layers, each against its formula worked out by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against, all_of, expit, linear, softmax

from polyscan import fusion


def stack(there):
    return np.stack(list(there.values()))


@pytest.mark.parametrize(
    ("layer", "reduce"),
    [
        (fusion.Mean, lambda x: x.mean(0)),
        (fusion.Sum, lambda x: x.sum(0)),
        (fusion.Maximum, lambda x: x.max(0)),
        (fusion.Product, lambda x: x.prod(0)),
    ],
)
def test_reductions(layer, reduce):
    against(layer(4, 3), lambda there, _: reduce(stack(there)))


def test_moments():
    def hemis(there, w):
        x = stack(there)
        variance = x.var(0, ddof=1) if len(x) > 1 else np.zeros_like(x[0])
        return linear(w, "project", np.concatenate([x.mean(0), variance]))

    against(fusion.Moments(4, 3), hemis)


def test_gated_sum():
    def gmu(there, w):
        z = expit(linear(w, "gate", all_of(there, 3, 4))).reshape(3, 4, -1)
        h = {m: np.tanh(w["content.weight"][m] @ x + w["content.bias"][m][:, None]) for m, x in there.items()}
        return sum(z[m] * h[m] for m in there)

    against(fusion.GatedSum(3, 4), gmu)


def test_low_rank_bilinear_is_the_full_bilinear_form():
    """The sum over rank-one terms equals the outer product of [M; 1] contracted with the whole weight tensor."""

    def lmf(there, w):
        rank, c = 2, 3
        out = np.repeat(w["bias"][:, None], next(iter(there.values())).shape[1], axis=1)
        for voxel in range(out.shape[1]):
            for k in range(c):
                tensor, outer = 0.0, np.ones(())
                for m in there:
                    outer = np.multiply.outer(outer, np.append(there[m][:, voxel], 1))
                for r in range(rank):
                    term = np.ones(())
                    for m in there:
                        row = r * c + k
                        factor = np.append(w["factors.weight"][m, row], w["factors.bias"][m, row])
                        term = np.multiply.outer(term, factor)
                    tensor = tensor + w["mix"][r] * term
                out[k, voxel] += (tensor * outer).sum()
        return out

    against(fusion.LowRankBilinear(3, 3, rank=2), lmf)


def test_mixture_of_experts():
    def mixture(there, w):
        x = all_of(there, 3, 4)
        g = softmax(w["gating.weight"] @ x.mean(1) + w["gating.bias"])
        return sum(g[e] * (w["weight"][e] @ x + w["bias"][e][:, None]) for e in range(5))

    against(fusion.MixtureOfExperts(3, 4, experts=5), mixture)


def test_experts_begin_as_linear_maps_do():
    """Between minus and plus one over the root of what enters, here 3 * 11 + 3."""
    torch.manual_seed(0)
    weight = fusion.MixtureOfExperts(3, 11).weight.detach()
    assert float(weight.abs().max()) == pytest.approx(1 / 6, rel=0.02)
    assert abs(float(weight.mean())) < 0.01


def test_gates_can_be_looked_at():
    features, available = torch.randn(2, 3, 4, 5), torch.tensor([[True, True, False], [True, True, True]])
    gates = fusion.GatedSum(3, 4).gates(features, available)
    assert gates.shape == features.shape
    assert (gates[0, 2] == 0).all()
    shares = fusion.MixtureOfExperts(3, 4).gate(features, available)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))
