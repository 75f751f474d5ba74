"""Means over mirror images and over networks."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.fusion import Mean
from polyscan.inference import EnsembleAverage, MirrorAverage, monte_carlo
from polyscan.networks import CachedFeatures, FusionNet, MulticlassHead, SegmentationHead, UNetEncoder


def network(modalities=("A", "B"), seed=0):
    torch.manual_seed(seed)
    encoder = lambda *sizes: UNetEncoder(*sizes, channels=(4, 6))  # noqa: E731
    head = lambda *sizes: SegmentationHead(*sizes, width=(4,))  # noqa: E731
    return FusionNet(list(modalities), encoder, [0, 1], Mean, head, spatial_dims=2).eval()


def test_each_mirror_image_is_mirrored_back():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    image = torch.randn(2, 1, 7, 9)
    expected = sum(conv(image.flip(dims)).flip(dims) for dims in ([], [2], [3], [2, 3])) / 4
    found = MirrorAverage(conv, axes=[0, 1])(image)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(MirrorAverage(conv, axes=[0, 1])(image.flip(2)), found.flip(2))
    torch.testing.assert_close(MirrorAverage(conv, axes=[])(image), conv(image))


def test_networks_are_averaged(tmp_path):
    first, second = network(seed=0), network(seed=1)
    torch.save(second.state_dict(), tmp_path / "second.pt")
    image = torch.randn(1, 2, 16, 16)
    before = copy.deepcopy(first.state_dict())
    found = EnsembleAverage(first, [tmp_path / "second.pt"]).eval()(image)
    torch.testing.assert_close(found, (first(image) + second(image)) / 2)
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())


TASKS = {"grade": ["2", "3", "4"], "IDH": ["wildtype", "mutated"]}


def classifiers(folder):
    """Two networks, the second's weights in a file too."""
    made = []
    for seed in range(2):
        torch.manual_seed(seed)
        encoder = partial(UNetEncoder, channels=(4, 6))
        made.append(
            FusionNet(["A", "B"], encoder, [1], Mean, partial(MulticlassHead, tasks=TASKS, dropout=0.5), spatial_dims=2)
        )
        made[-1].eval()
    torch.save(made[1].state_dict(), folder / "second.pt")
    return made


def probabilities(logits):
    return torch.cat([part.softmax(-1) for part in logits.split([3, 2], dim=-1)], dim=-1)


def test_probabilities_of_classes_are_averaged_for_any_subset(tmp_path):
    """Of the whole answer, of one modality alone, and of samples of dropout; the last differ between members."""
    first, second = classifiers(tmp_path)
    both = EnsembleAverage(first, [tmp_path / "second.pt"], TASKS).eval()
    image = 5 * torch.randn(3, 2, 16, 16)
    image[0, 1] = torch.nan
    mean = (probabilities(first(image)) + probabilities(second(image))) / 2
    torch.testing.assert_close(probabilities(both(image)), mean)
    assert not torch.allclose(mean, probabilities((first(image) + second(image)) / 2), atol=1e-3)
    cached = CachedFeatures.of(both, image)
    torch.testing.assert_close(cached.logits(), both(image))
    alone = cached.available & torch.tensor([True, False])
    expected = sum(probabilities(CachedFeatures.of(net, image).logits(alone)) for net in (first, second)) / 2
    torch.testing.assert_close(probabilities(cached.logits(alone)), expected)
    samples = monte_carlo(both, image, 4)
    assert samples.shape == (4, 3, 5)
    assert (samples.std(0) > 0).all()
    ours, theirs = (monte_carlo(net, image, 200).mean(0) for net in (first, second))
    samples = monte_carlo(both, image, 400)
    torch.testing.assert_close(samples[::2].mean(0), ours, atol=0.1, rtol=0)
    torch.testing.assert_close(samples[1::2].mean(0), theirs, atol=0.1, rtol=0)
    assert (ours - theirs).abs().max() > 0.3


def test_one_network_answers_as_it_does_by_itself(tmp_path):
    first, _ = classifiers(tmp_path)
    image = torch.randn(2, 2, 16, 16)
    torch.testing.assert_close(EnsembleAverage(first, tasks=TASKS).eval()(image), first(image))


def test_a_member_that_reads_other_modalities_is_refused(tmp_path):
    torch.save(network(("B", "A")).state_dict(), tmp_path / "other.pt")
    with pytest.raises(PolyscanError, match="made for the modalities B, A"):
        EnsembleAverage(network(), [tmp_path / "other.pt"])
