"""The attention layers, each against its formula worked out by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_hand import against, attention, block, expit, flags, norm, two
from scipy.ndimage import correlate

from polyscan import fusion


def test_self_attention():
    def tokens_of_a_position(there, w):
        order = list(there)
        out = np.zeros_like(there[order[0]])
        for voxel in range(out.shape[1]):
            tokens = np.stack([there[m][:, voxel] + w["embed.weight"][m] for m in order], axis=1)
            for depth in range(2):
                tokens = block(w, f"blocks.{depth}", tokens, heads=2)
            out[:, voxel] = tokens.mean(1)
        return out

    against(fusion.SelfAttention(3, 4, heads=2, depth=2), tokens_of_a_position)


@pytest.mark.parametrize("query", [None, 1])
def test_cross_attention(query):
    def others(there, w):
        asking = list(there) if query is None else [query if query in there else min(there)]
        named = {m: norm(w, "norm", x + w["embed.weight"][m][:, None]) for m, x in there.items()}
        found = []
        for m in asking:
            rest = [named[n] for n in there if n != m]
            q = norm(w, "norm", there[m] + w["embed.weight"][m][:, None])
            read = attention(w, "attention", q, np.concatenate(rest, axis=1), heads=4) if rest else 0
            found.append(there[m] + read)
        return np.mean(found, axis=0)

    against(fusion.CrossAttention(3, 8, query=query, tokens=64), others)


def test_cross_attention_reads_averages_over_blocks():
    torch.manual_seed(0)
    net, available = fusion.CrossAttention(2, 4, tokens=8), torch.ones(1, 2, dtype=torch.bool)
    features = torch.randn(1, 2, 4, 4, 4, 4)
    blocks = features.clone()
    coarse = features[:, 1].reshape(1, 4, 2, 2, 2, 2, 2, 2).mean((3, 5, 7))
    blocks[:, 1] = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    asks_first = fusion.CrossAttention(2, 4, query=0, tokens=8)
    asks_first.load_state_dict(net.state_dict())
    torch.testing.assert_close(asks_first(features, available), asks_first(blocks, available))


def test_squeeze_excitation():
    def se(there, w):
        mean = [there[m].mean(1) if m in there else np.zeros(4) for m in range(3)]
        z = np.concatenate([*mean, flags(there, 3, 1)[:, 0]])[:, None]
        s = expit(two(w, "excite", z)).reshape(3, 4, 1)
        return np.mean([s[m] * x for m, x in there.items()], axis=0)

    against(fusion.SqueezeExcitation(3, 4), se)


@pytest.mark.parametrize(("channels", "kernel"), [(6, 1), (8, 3), (64, 3), (128, 5)])
def test_efficient_channel_attention(channels, kernel):
    """k as the authors' own table gives it: |log2(C) / 2 + 1 / 2| to the odd number at or below."""

    def eca(there, w):
        k = w["conv.weight"][0, 0]
        assert len(k) == kernel
        gated = []
        for x in there.values():
            padded = np.pad(x.mean(1), kernel // 2)
            gate = [expit(padded[c : c + kernel] @ k) for c in range(channels)]
            gated.append(np.array(gate)[:, None] * x)
        return np.mean(gated, axis=0)

    against(fusion.EfficientChannelAttention(2, channels), eca)


def test_spatial_attention():
    shape = (9, 8)

    def cbam(there, w):
        refined = {}
        for m, x in there.items():
            refined[m] = expit(two(w, "mlp", x.mean(1)[:, None]) + two(w, "mlp", x.max(1)[:, None])) * x
        none = np.zeros((4, 72))
        every = [refined.get(m, none) for m in range(3)]
        view = [x.mean(0).reshape(shape) for x in every] + [x.max(0).reshape(shape) for x in every]
        out = []
        for m, x in refined.items():
            kernels = w["conv.weight"][m]
            z = sum(correlate(v, k, mode="constant") for v, k in zip(view, kernels, strict=True)) + w["conv.bias"][m]
            out.append(expit(z).reshape(-1) * x)
        return np.mean(out, axis=0)

    against(fusion.SpatialAttention(3, 4, 2), cbam, spatial=shape)


def test_maps_can_be_looked_at():
    net, features = fusion.SpatialAttention(2, 4, 2), torch.randn(1, 2, 4, 6, 5)
    maps = net.maps(features, torch.tensor([[True, False]]))
    assert maps.shape == (1, 2, 6, 5)
    assert (maps[:, 1] == 0).all()


def test_options_that_are_none_are_refused():
    with pytest.raises(ValueError, match="index of one of 2 modalities"):
        fusion.CrossAttention(2, 4, query=2)
    with pytest.raises(ValueError, match="odd number"):
        fusion.EfficientChannelAttention(2, 4, kernel=4)
    with pytest.raises(ValueError, match="cannot be divided among 3 heads"):
        fusion.SelfAttention(2, 4, heads=3)
