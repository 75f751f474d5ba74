"""What layers are made of, and how large they are where nothing is said."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from polyscan import fusion
from polyscan.fusion import table
from polyscan.fusion.blocks import Attention, ModalityEmbedding, PerModality, interpolate_to, tokens_of
from polyscan.fusion.lean_drifa import LeanMultiBranchAttention, LeanMultimodalAttention

PARAMETERS = {
    fusion.AttentionWeighted: 80,
    fusion.CanonicalCorrelation: 216,
    fusion.CoAttention: 909,
    fusion.Concatenation: 224,
    fusion.CrossAttention: 328,
    fusion.DRIFA: 2300,
    fusion.EfficientChannelAttention: 3,
    fusion.FlexMixtureOfExperts: 5320,
    fusion.GatedSum: 888,
    fusion.GlobalLocalAlignment: 480,
    fusion.LatentAttention: 3024,
    fusion.LeanDRIFA: 778,
    fusion.LowRankBilinear: 876,
    fusion.MaskedTransformer: 16552,
    fusion.MixtureOfExperts: 1008,
    fusion.Moments: 136,
    fusion.MutualAttention: 896,
    fusion.ProductOfExperts: 648,
    fusion.RegionAware: 15636,
    fusion.SelfAttention: 624,
    fusion.SharedSpecific: 939,
    fusion.SpatialAttention: 6219,
    fusion.SqueezeExcitation: 336,
    fusion.TemporalAttention: 304,
    fusion.TemporalConcatenation: 248,
    fusion.TemporalDifference: 144,
    fusion.TransformerBottleneck: 3712,
    table.DAFT: 900,
    table.FiLM: 680,
    table.HyperFusion: 8776,
    table.TableAttention: 568,
}


@pytest.mark.parametrize("layer", PARAMETERS, ids=lambda layer: layer.__name__)
def test_weights_of_three_modalities_of_eight_channels_keep_their_number(layer):
    """Saved weights fit only while options that shape them keep what they are where not given."""
    net = layer(8, 2) if issubclass(layer, table.TableFusion) else layer(3, 8)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[layer]


def test_auxiliary_losses_weigh_what_their_papers_say():
    """Those of RFNet, mmFormer, ShaSpec, U-HVED, GLoRIA, Flex-MoE, TMC; deep CCA trains nothing else, and has none."""
    assert {layer: layer(2, 4).auxiliary_weights for layer in fusion.layers() if layer.AUXILIARY_WEIGHTS} == {
        fusion.CanonicalCorrelation: {"correlation": 0.1},
        fusion.Evidential: {"evidence": 1.0, "divergence": 1.0},
        fusion.FlexMixtureOfExperts: {"routing": 0.01, "balance": 0.01},
        fusion.GlobalLocalAlignment: {"global": 1.0, "local": 1.0},
        fusion.MaskedTransformer: {"regions": 1.0, "modalities": 1.0},
        fusion.ProductOfExperts: {"prior": 0.1, "subsets": 0.1, "reconstruction": 0.1},
        fusion.RegionAware: {"regions": 1.0, "modalities": 1.0},
        fusion.SharedSpecific: {"shared": 0.1, "domain": 0.02},
    }


def test_layers_that_read_averages_say_how_many_tokens_are_left():
    limits = {layer: layer(2, 4).tokens for layer in fusion.layers() if hasattr(layer(2, 4), "tokens")}
    few, many = (fusion.CrossAttention, fusion.GlobalLocalAlignment, fusion.MutualAttention), 512
    assert limits == {
        **dict.fromkeys(few, 64),
        fusion.LatentAttention: many,
        fusion.MaskedTransformer: many,
        fusion.TransformerBottleneck: many,
    }


def test_bottlenecks_are_narrower_by_their_factor_and_never_nothing():
    assert table.DAFT(4, 2, 5).bottleneck[0].weight.shape == (16 // 7, 16)
    assert table.DAFT(4, 2, 5, squeeze=3).bottleneck[0].weight.shape == (16 // 3, 16)
    assert table.DAFT(1, 1, 1, squeeze=99).bottleneck[0].weight.shape == (1, 3)
    assert fusion.SqueezeExcitation(3, 8).excite[0].weight.shape == (24 // 4, 27)
    assert fusion.SqueezeExcitation(3, 8, reduction=5).excite[0].weight.shape == (24 // 5, 27)
    assert fusion.SqueezeExcitation(1, 2, reduction=99).excite[0].weight.shape == (1, 3)
    assert LeanMultiBranchAttention(3).w1.weight.shape == (1, 3)
    assert LeanMultimodalAttention(2, 3).v.weight.shape == (2, 1, 3)
    for layer, part in ((fusion.SpatialAttention, "mlp"), (fusion.CoAttention, "channel_gate")):
        assert getattr(layer(2, 9, 1), part)[0].weight.shape == (9 // 4, 9)
        assert getattr(layer(2, 9, 1, reduction=99), part)[0].weight.shape == (1, 9)


def test_hyper_fusion_begins_with_the_image_alone():
    torch.manual_seed(0)
    net, features, recorded = table.HyperFusion(4, 2, 5), torch.randn(3, 4, 6), torch.ones(3, 2) > 0
    tokens = torch.randn(3, 2, 5)
    torch.testing.assert_close(net(features, tokens, recorded), features, rtol=0, atol=0)
    net(features, tokens, recorded).square().sum().backward()
    assert net.outward[2].weight.grad.abs().sum() > 0, "and it learns"


def test_maps_of_each_modality_begin_as_linear_maps_do():
    torch.manual_seed(0)
    for values in PerModality(8, 16, 32).parameters():
        assert float(values.detach().abs().max()) == pytest.approx(1 / 4, rel=0.02)
        assert abs(float(values.detach().mean())) < 0.03


def test_names_of_modalities_are_small_beside_features():
    torch.manual_seed(0)
    weight = ModalityEmbedding(50, 200).weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert abs(float(weight.detach().mean())) < 1e-3


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_blocks_are_averaged_and_those_at_the_border_over_what_they_hold(dims):
    """Seven positions an axis and at most two left: a block of four, and one of the three that remain."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, *[7] * dims))
    parts = (slice(0, 4), slice(4, 7))
    expected = np.empty((2, 3, 4, *[2] * dims))
    for index in itertools.product((0, 1), repeat=dims):
        block = x[(..., *(parts[i] for i in index))]
        expected[(..., *index)] = block.mean(tuple(range(3, 3 + dims)))
    np.testing.assert_allclose(tokens_of(torch.tensor(x), 2**dims), expected)
    torch.testing.assert_close(tokens_of(torch.tensor(x), 7**dims), torch.tensor(x))


def test_as_many_tokens_are_left_as_are_allowed():
    shapes = [tuple(tokens_of(torch.zeros(1, 1, 2, *[8] * dims), 64).shape[3:]) for dims in (1, 2, 3)]
    assert shapes == [(8,), (8, 8), (4, 4, 4)]


def test_half_a_volume_is_averaged_in_single_precision():
    x = torch.full((1, 1, 1, 4096), 1.0, dtype=torch.float16)
    x[..., ::2] = 1 + 2**-10
    coarse = tokens_of(x, 1)
    assert coarse.dtype == torch.float16
    assert float(coarse) in (1.0, 1 + 2**-10), "the nearest number of half precision"
    assert tokens_of(torch.ones(2, 3, 4), 1).shape == (2, 3, 4)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_interpolation_is_linear_between_centres(dims):
    between = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    coarse = np.random.default_rng(0).normal(size=(2, 3, *[2] * dims))
    expected = coarse
    for axis in range(2, 2 + dims):
        expected = np.moveaxis(np.tensordot(between, expected, (1, axis)), 0, axis)
    like = torch.empty(2, 3, *[4] * dims)
    np.testing.assert_allclose(interpolate_to(torch.tensor(coarse), like), expected)
    assert interpolate_to(like, like) is like


def test_attention_reads_nothing_where_nothing_is_there():
    net = Attention(8)
    assert net.heads == 4
    assert (Attention(6).heads, Attention(7).heads) == (2, 1)
    read = net(torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.tensor([[True] * 5, [False] * 5]))
    assert (read[1] == 0).all()
    assert (read[0] != 0).any()
