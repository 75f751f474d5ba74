"""Encoders by MONAI's names: their levels, and what they become in a network."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from monai.data import MetaTensor
from monai.networks.nets.segresnet_ds import SegResEncoder as MonaiSegResEncoder

from polyscan.fusion import Concatenation
from polyscan.networks import (
    ClassificationHead,
    DenseNetEncoder,
    EfficientNetEncoder,
    Encoder,
    FusionNet,
    ResNetEncoder,
    SegmentationHead,
    SegResEncoder,
    SwinEncoder,
    UNetEncoder,
    ViTEncoder,
)
from polyscan.networks.encoders import EncoderEach

SIZE, NORM = (32, 48, 32), ("instance", {"affine": True})
ENCODERS = {
    "resnet": partial(ResNetEncoder, depth=10, widen_factor=0.125),
    "resnet50": partial(ResNetEncoder, depth=50, widen_factor=0.125, stem_stride=1),
    "densenet": partial(DenseNetEncoder, init_features=8, growth_rate=4, block_config=(2, 2, 2)),
    "efficientnet": EfficientNetEncoder,
    "swin": partial(SwinEncoder, feature_size=6, window_size=4, num_heads=(1, 2, 2, 4)),
    "unet": partial(UNetEncoder, channels=(4, 8, 8)),
    "unet of blocks": partial(UNetEncoder, channels=(4, 8, 8), stem_stride=2),
    "segresnet": partial(SegResEncoder, init_filters=8, blocks_down=(1, 1, 1)),
}


def make(name, dims):
    if name == "vit":
        return partial(
            ViTEncoder, img_size=SIZE[:dims], patch_size=8, hidden_size=24, mlp_dim=32, num_heads=2, layers=(1, 1)
        )
    return ENCODERS[name]


def test_no_level_has_more_channels_than_the_most():
    encoder = SegResEncoder(1, 3, init_filters=4, blocks_down=(1, 1, 1, 1), max_filters=10)
    assert encoder.channels == (4, 8, 10, 10)
    levels = encoder(torch.randn(1, 1, 16, 16, 16))
    assert [tuple(level.shape[1:3]) for level in levels] == [(4, 16), (8, 8), (10, 4), (10, 2)]


def test_residual_levels_are_those_of_monai():
    """The same weights give the same levels as MONAI's SegResEncoder."""
    own, other = (
        SegResEncoder(1, 3, init_filters=4, blocks_down=(1, 2)),
        MonaiSegResEncoder(3, 4, 1, norm=NORM, blocks_down=(1, 2)),
    )
    other.load_state_dict(dict(zip(other.state_dict(), own.state_dict().values(), strict=True)))
    image = torch.randn(1, 1, 8, 8, 8)
    for found, expected in zip(own(image), other(image), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [*ENCODERS, "vit"])
def test_levels_segment_and_classify_with_a_modality_absent(name, dims):
    torch.manual_seed(0)
    encoder = make(name, dims)
    levels = encoder(1, dims).eval()(torch.randn(1, 1, *SIZE[:dims]))
    channels = encoder(1, dims).channels
    assert [level.shape[1] for level in levels] == list(channels)
    assert all(a.shape[2] >= b.shape[2] for a, b in itertools.pairwise(levels))
    image = torch.randn(2, 2, *SIZE[:dims])
    image[0, 1] = torch.nan
    segment = partial(SegmentationHead, width=(4,) * (len(channels) - 1), out_channels=3)
    for head, expected in ((segment, (2, 3, *SIZE[:dims])), (ClassificationHead, (2, 2))):
        net = FusionNet(
            ["T1", "T2"], encoder, list(range(len(channels))), Concatenation, head, spatial_dims=dims
        ).eval()
        out = net(image)
        assert out.shape == expected
        assert out.isfinite().all()
        spoiled = image.clone()
        spoiled[0, 1] = torch.inf
        torch.testing.assert_close(net(spoiled), out, rtol=0, atol=0)


@pytest.mark.parametrize("name", [*ENCODERS, "vit"])
def test_encoders_of_one_study_run_as_one_call_that_answers_the_same(name):
    torch.manual_seed(0)
    encoders = EncoderEach([make(name, 3)(1, 3) for _ in range(3)]).eval()
    image = MetaTensor(torch.randn(1, 3, *SIZE))
    measured = torch.ones(1, 3, dtype=torch.bool)
    one_by_one = encoders(image, measured)  # where gradients are kept
    calls = []
    encoders[1].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        at_once = encoders(image, measured)
    assert not calls
    for a, b in zip(one_by_one, at_once, strict=True):
        torch.testing.assert_close(torch.Tensor(a), b, rtol=1e-3, atol=1e-4)


def test_what_an_encoder_cannot_do_is_said():
    with pytest.raises(ValueError, match="2 stages and 1 numbers of channels; each stage needs one"):
        Encoder([torch.nn.Identity(), torch.nn.Identity()], (1,))
    with pytest.raises(TypeError, match="Own writes forward, which networks would pass over; write it as stages"):
        type("Own", (Encoder,), {"forward": lambda self, image: [image]})
    with pytest.raises(ValueError, match="expected 10, 18, 34"):
        ResNetEncoder(1, depth=11)
    with pytest.raises(ValueError, match=r"made for \[32, 48\]"):
        make("vit", 2)(1, 2)(torch.randn(1, 1, 32, 32))
