"""A step in bfloat16 on a CPU: what is rounded, and what stays float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polyscan.fusion import Concatenation
from polyscan.learning import PrecisionInferer, RegionLoss, WithAuxiliaryLosses, precision
from polyscan.networks import FusionNet, SegmentationHead, UNetEncoder


@pytest.fixture
def able(monkeypatch):
    """A CPU that computes bfloat16, as this one may not."""
    monkeypatch.setattr(precision, "computes_bfloat16", lambda: True)


def test_a_cpu_that_cannot_computes_in_float32(monkeypatch):
    """It would take several times as long in bfloat16."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    weight, image = nn.Linear(1, 1, bias=False), torch.tensor([[1.001]])
    weight.weight.data.fill_(1.0)
    logits, _ = PrecisionInferer(bfloat16=True)(image, lambda given: (weight(given), {}))
    assert logits.item() == image.item()


def test_products_are_rounded_and_logits_are_not(able):
    weight, image = nn.Linear(1, 1, bias=False), torch.tensor([[1.001]])
    weight.weight.data.fill_(1.0)

    def step(image):
        return weight(image), {"beside": weight.weight.sum()}

    exact, losses = PrecisionInferer()(image, step)
    rounded, _ = PrecisionInferer(bfloat16=True)(image, step)
    assert exact.item() == image.item()
    assert rounded.item() == 1.0, "bfloat16 has 1, then 1.0078"
    assert rounded.dtype == losses["beside"].dtype == torch.float32


def test_a_network_learns_the_same_direction(able):
    torch.manual_seed(0)
    parts = [lambda c, d: UNetEncoder(c, d, channels=(4, 8)), "input", Concatenation, SegmentationHead]
    network = FusionNet(["T1", "FLAIR"], *parts, spatial_dims=2)
    image, truth = torch.randn(2, 2, 32, 32), torch.rand(2, 1, 32, 32) > 0.8
    image[1, 0] = torch.nan

    def gradient(bfloat16):
        network.zero_grad()
        logits, _ = PrecisionInferer(bfloat16)(image, WithAuxiliaryLosses(network), truth)
        RegionLoss()(logits, truth).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    exact, rounded = gradient(False), gradient(True)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert torch.cosine_similarity(exact, rounded, dim=0) > 0.99
