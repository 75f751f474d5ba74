"""What was encoded once answers for every subset and every sample."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from polyscan.fusion import AttentionWeighted
from polyscan.inference import every_subset, monte_carlo
from polyscan.networks import (
    ClassificationHead,
    FusionNet,
    ResNetEncoder,
    SegmentationHead,
    UNetEncoder,
    cached_features,
)

NAN = float("nan")
PLACES = ["input", [2], [0, 1, 2], "output"]


def make(fuse_at, head=None, *, dropout=0.5):
    torch.manual_seed(0)
    head = head or partial(SegmentationHead, width=(4, 6), out_channels=2, dropout=dropout)
    encoder = partial(UNetEncoder, channels=(4, 6, 8))
    names = ["T1", "T1c", "T2", "FLAIR"]
    return FusionNet(names, encoder, fuse_at, AttentionWeighted, head, spatial_dims=2).eval()


def calls_of(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("fuse_at", PLACES, ids=str)
def test_every_subset_equals_the_network_with_the_others_absent(fuse_at):
    net, image = make(fuse_at), torch.randn(1, 4, 16, 16)
    answers = every_subset(net, image)
    assert len(answers) == 15
    assert list(answers)[-1] == ("T1", "T1c", "T2", "FLAIR")
    for names, logits in answers.items():
        alone = torch.full_like(image, NAN)
        for m, name in enumerate(net.modalities):
            if name in names:
                alone[:, m] = image[:, m]
        torch.testing.assert_close(logits, net(alone))


@pytest.mark.parametrize(("at_once", "batches"), [(1, 15), (3 * 4 * 4 * 16 * 16, 5), (2**24, 1)])
def test_subsets_are_the_same_in_batches_of_any_size(at_once, batches, monkeypatch):
    net, image = make([0, 1, 2]), torch.randn(1, 4, 16, 16)
    monkeypatch.setattr(cached_features, "_AT_ONCE", at_once)
    calls = calls_of(net.body.head.up[0])
    for names, logits in every_subset(net, image).items():
        alone = torch.full_like(image, NAN)
        chosen = [m for m, name in enumerate(net.modalities) if name in names]
        alone[:, chosen] = image[:, chosen]
        torch.testing.assert_close(logits, net(alone))
    assert len(calls) == batches + 15


def test_subsets_of_what_is_there_and_one_run_of_the_encoders():
    net, image = make([0, 1, 2]), torch.randn(1, 4, 16, 16)
    image[:, 1] = NAN
    calls = calls_of(net.body.encoders[0])
    assert len(every_subset(net, image)) == 7
    assert len(calls) == 1
    with pytest.raises(ValueError, match="holds 2 studies"):
        every_subset(net, torch.randn(2, 4, 16, 16))


@pytest.mark.parametrize("fuse_at", PLACES, ids=str)
@pytest.mark.parametrize("classify", [False, True])
def test_samples_spread_around_the_answer_and_leave_the_network_as_it_was(fuse_at, classify):
    net = make(fuse_at, partial(ClassificationHead, dropout=0.5) if classify else None)
    image = torch.randn(2, 4, 16, 16)
    image[0, 2] = NAN
    whole = net(image)
    samples = monte_carlo(net, image, 400)
    assert samples.shape == (400, *whole.shape)
    assert samples.std(0).min() > 0
    if fuse_at != "output":
        torch.testing.assert_close(samples.mean(0), whole, atol=6 * float(samples.std(0).max()) / 20, rtol=0)
    torch.testing.assert_close(net(image), whole, rtol=0, atol=0)
    torch.testing.assert_close(monte_carlo(net, image, 3), samples[:3], rtol=0, atol=0)


def test_thirty_samples_run_the_encoders_once():
    net = make([0, 1, 2])
    calls = calls_of(net.body.encoders[2]), calls_of(net.body.head.up[0])
    monte_carlo(net, torch.randn(1, 4, 16, 16))
    assert [len(c) for c in calls] == [1, 1]
    with pytest.raises(ValueError, match="give it dropout > 0"):
        monte_carlo(make([2], dropout=0.0), torch.randn(1, 4, 16, 16))


def test_maps_of_coarse_encoders_come_back_on_the_image():
    encoder, head = partial(ResNetEncoder, depth=10, widen_factor=0.125), partial(SegmentationHead, width=(4,) * 4)
    net = FusionNet(["A", "B"], encoder, [0, 1, 2, 3, 4], AttentionWeighted, head, spatial_dims=2).eval()
    image = torch.randn(1, 2, 40, 36)
    assert {tuple(logits.shape) for logits in every_subset(net, image).values()} == {(1, 1, 40, 36)}
