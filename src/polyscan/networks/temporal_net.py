"""TemporalNet: a FusionNet at every time point, then fusion over time that is told the days between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

import torch
from torch import Tensor, nn

from polyscan.fusion.temporal import TemporalFusion
from polyscan.networks.fusion_net import FeatureFusion, FusionNet, Nothing, on_grid


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
        count = len(self.network.modalities)
        if image.shape[1] != self.times * count:
            raise ValueError(f"image has {image.shape[1]} channels; expected {count} for each of {self.times} times.")
        each = image.unflatten(1, [self.times, count])
        features, available = self.network.encode(each.flatten(0, 1))
        there = torch.isfinite(each).flatten(2).any(2)
        there = there | ~there.any(1, keepdim=True)
        levels = self.body.join(features, available)
        fused: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            fused.append(fusion(levels[k].unflatten(0, [image.shape[0], self.times]), there, days))
        return on_grid(self.body.head(fused), image)
