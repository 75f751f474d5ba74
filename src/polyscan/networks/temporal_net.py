"""TemporalNet: a network at every time point, then fusion over time that is told the days between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyscan.fusion.temporal import TemporalFusion
from polyscan.networks.fusion_model import (
    FusionWrapper,
    NoFusion,
    check_levels,
    check_makers,
    make_layer,
    split_missing,
)
from polyscan.networks.fusion_net import FusionNet
from polyscan.scan_key import ScanKey

MakeTemporal = Callable[[int, int, int], TemporalFusion]


class TemporalNet(FusionWrapper):
    """Read one patient's scans of several times: any subset of the modalities at any subset of the times.

    The same network reads every time point, so that times are read alike; what it fused at each level is then joined
    over time. Its modalities are those of the network at each time: ``T1c@1``, ``FLAIR@1``, ``T1c@2``, ``FLAIR@2``.

    Args:
        network: fuses modalities at the input or at levels.
        fusion: ``fusion(times, channels, spatial_dims) -> TemporalFusion``, or one for each fused level.
        times: number of time points.

    Raises:
        ValueError: the network fuses at the output: there are no features to join over time.
        PolyscanError: the layer does not join time points.

    Example:
        >>> net = FusionNet(["T1c", "FLAIR"], UNetEncoder, [3], AttentionWeighted, ClassificationHead)
        >>> TemporalNet(net, TemporalDifference)(torch.randn(1, 4, 32, 32, 32), torch.tensor([[0.0, 84.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self, network: FusionNet, fusion: MakeTemporal | Mapping[Any, MakeTemporal], *, times: int = 2
    ) -> None:
        super().__init__(
            network, [str(ScanKey(name, time=time)) for time in range(1, times + 1) for name in network.modalities]
        )
        if not self.fused_channels:
            raise ValueError("the network fuses at the output; times are joined by features: use the input or levels.")
        check_makers(network.spatial_dims, fusion=fusion)
        check_levels(fusion, [k for k, channels in enumerate(self.fused_channels) if channels])
        self.times = times
        self.fusions = nn.ModuleList(
            make_layer(fusion, k, (times, channels, network.spatial_dims), ("time points",)) if channels else NoFusion()
            for k, channels in enumerate(self.fused_channels)
        )

    def forward(self, image: Tensor, days: Tensor | None = None) -> Tensor:
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
        return self.head(self.fuse(features, available, days), available, self.image_size(image))

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionModel`; the modalities are those of every time."""
        if image.shape[1] != len(self.modalities):
            raise ValueError(
                f"image has {image.shape[1]} channels; expected {len(self.modalities) // self.times} for each of "
                f"{self.times} times."
            )
        _, available = split_missing(image)
        each = [self.times, len(self.modalities) // self.times]
        levels, _ = self.network.encode(image.unflatten(1, each).flatten(0, 1))
        features: list[Tensor] = []
        for level in levels:
            features.append(level.unflatten(0, [image.shape[0], self.times]).flatten(1, 2))
        return features, available

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor, days: Tensor | None = None) -> list[Tensor]:
        """See :class:`FusionModel`; ``days`` as for ``forward``."""
        batch, each = available.shape[0], [self.times, len(self.modalities) // self.times]
        by_time = available.unflatten(1, each)
        levels: list[Tensor] = []
        for level in features:
            levels.append(level.unflatten(1, each).flatten(0, 1))
        of_each_time = self.network.fuse(levels, by_time.flatten(0, 1))
        fused: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            fused.append(fusion(of_each_time[k].unflatten(0, [batch, self.times]), by_time.any(2), days))
        return fused
