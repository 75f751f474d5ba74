"""Means over mirror images and over networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.fusion import Mean
from polyscan.inference import EnsembleAverage, MirrorAverage
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder


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


def test_a_member_that_reads_other_modalities_is_refused(tmp_path):
    torch.save(network(("B", "A")).state_dict(), tmp_path / "other.pt")
    with pytest.raises(PolyscanError, match="made for the modalities B, A"):
        EnsembleAverage(network(), [tmp_path / "other.pt"])
