"""The decoder's coarser levels learn too, by weights that halve."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from polyscan.fusion import Mean
from polyscan.learning import WithAuxiliaryLosses
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder


def network(levels):
    torch.manual_seed(0)
    return FusionNet(
        ["A", "B"],
        lambda *sizes: UNetEncoder(*sizes, channels=(4, 6, 8, 10)),
        [0, 1, 2, 3],
        Mean,
        lambda *sizes: SegmentationHead(*sizes, out_channels=2, width=(4, 6, 8), deep_supervision=levels),
        spatial_dims=2,
    )


def test_each_level_learns_its_own_grid():
    net, loss = network(2), DiceCELoss(sigmoid=True)
    image, target = torch.randn(3, 2, 16, 24), (torch.rand(3, 2, 16, 24) > 0.5).float()
    logits, losses = WithAuxiliaryLosses(net, loss=loss)(image, target)
    assert list(losses) == ["deep.1", "deep.2"]
    head = net.body.head
    features, available = net.encode(image)
    fused, x = net.fuse(features, available), None
    for k, up in enumerate(head.up):
        skip = fused[2 - k]
        x = fused[-1] if x is None else x
        x = up(torch.cat([skip, torch.nn.functional.interpolate(x, size=skip.shape[2:], mode="bilinear")], 1))
        level = 2 - k
        if level:
            coarse = torch.nn.functional.avg_pool2d(target, 2**level)
            expected = 0.5**level * loss(head.deep[level - 1](x), coarse)
            assert float(losses[f"deep.{level}"]) == pytest.approx(float(expected), rel=1e-4)
    sum(losses.values()).backward()
    assert all(last.weight.grad.abs().sum() > 0 for last in head.deep)
    assert torch.allclose(net.eval()(image), logits, atol=1e-5), "an answer is the finest level's"


def test_without_it_nothing_is_added_and_too_many_levels_are_refused():
    _, losses = WithAuxiliaryLosses(network(0), loss=DiceCELoss(sigmoid=True))(
        torch.randn(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    )
    assert losses == {}
    with pytest.raises(ValueError, match="expected 0 to 2 coarser levels"):
        network(3)
