"""TemporalNet: a FusionNet at every time point, then fusion over time that is told the days between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import torch
from torch import Tensor, nn

from polyscan.fusion.temporal import TemporalFusion
from polyscan.networks.fusion_net import FeatureFusion, FusionNet, Nothing, measured, on_grid


class TemporalNet(nn.Module):
    """Read one patient's scans of several times: any subset of the modalities at any subset of the times.

    The same network reads every time point, so that times are read alike; what it fused at each level is then joined
    over time.

    Args:
        network: fuses modalities at the input or at levels.
        fusion: ``fusion(times, channels, spatial_dims) -> TemporalFusion``.
        times: number of time points.

    Raises:
        ValueError: the network fuses at the output: there are no features to join over time.

    Example:
        >>> net = FusionNet(["T1c", "FLAIR"], UNetEncoder, [3], AttentionWeighted, ClassificationHead)
        >>> TemporalNet(net, TemporalDifference)(torch.randn(1, 4, 32, 32, 32), torch.tensor([[0.0, 84.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self, network: FusionNet, fusion: Callable[[int, int, int], TemporalFusion], *, times: int = 2
    ) -> None:
        super().__init__()
        body = network.body
        if not isinstance(body, FeatureFusion):
            raise ValueError("the network fuses at the output; times are joined by features: use the input or levels.")
        self.network = network
        self.body = body
        self.times = times
        self.fusions = nn.ModuleList(
            fusion(times, channels, network.spatial_dims) if channels else Nothing() for channels in body.channels
        )

    def forward(self, image: Tensor, days: Optional[Tensor] = None) -> Tensor:  # noqa: UP045 - TorchScript
        """Answer from the scans that are there.

        Args:
            image: (batch, times * modalities, *spatial), the modalities of the first time first; NaN where absent.
            days: (batch, time) when each time point was; what stands at absent ones is not read. 0, 1, 2 and so on
                where not given.

        Returns:
            Logits, as the head gives them.

        Raises:
            ValueError: the image has another number of channels.
        """
        features, available = self.encode(image)
        return on_grid(self.decide(features, available, days), image)

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionNet`; what stands for modalities there are the modalities of every time here."""
        count = len(self.network.modalities)
        if image.shape[1] != self.times * count:
            raise ValueError(f"image has {image.shape[1]} channels; expected {count} for each of {self.times} times.")
        filled, available = measured(image)
        levels, _ = self.network.encode(filled.unflatten(1, [self.times, count]).flatten(0, 1))
        features: list[Tensor] = []
        for level in levels:
            features.append(level.unflatten(0, [image.shape[0], self.times]).flatten(1, 2))
        return features, available

    @torch.jit.export
    def decide(self, features: list[Tensor], available: Tensor, days: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """Answer from what ``encode`` gave, of the scans that ``available`` (batch, times * modalities) names."""
        batch, shape = available.shape[0], [self.times, len(self.network.modalities)]
        each = available.unflatten(1, shape)
        there = each.any(2)
        rows = (each | ~there.unsqueeze(2)).flatten(0, 1)  # a time without a scan is left out further on
        levels: list[Tensor] = []
        for level in features:
            levels.append(level.unflatten(1, shape).flatten(0, 1))
        fused: list[Tensor] = []
        joined = self.body.join(levels, rows)
        for k, fusion in enumerate(self.fusions):
            fused.append(fusion(joined[k].unflatten(0, [batch, self.times]), there, days))
        return self.body.head(fused)
