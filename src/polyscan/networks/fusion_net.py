"""FusionNet: where modalities are joined is one choice, how they are joined another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from polyscan.fusion import FusionLayer
from polyscan.networks.encoders import Encoder

FuseAt = Literal["input", "output"] | Sequence[int]


class FusionNet(nn.Module):
    """Read several modalities together, whichever of them are there.

    The parts are given as what makes them (a class, or ``functools.partial`` of one; ``"_mode_": "callable"`` in a
    bundle's config), since where fusion takes place decides how many of each are needed and with how many channels.

    Args:
        modalities: names in the order of the image's channels.
        encoder: ``encoder(in_channels, spatial_dims) -> Encoder``.
        fuse_at: ``"input"`` (before the encoder), levels such as ``[3]`` (single-level) or ``[0, 1, 2, 3]``
            (hierarchical), or ``"output"`` (after the heads). Levels deeper than the last of a list are encoded
            once, from what was fused; levels that are not fused give the head nothing.
        fusion: ``fusion(modalities, channels, spatial_dims) -> FusionLayer``.
        head: ``head(channels, spatial_dims) -> Module`` with ``out_channels``; it takes the features of all levels.
        spatial_dims: 2 or 3.

    Example:
        >>> net = FusionNet(["CT", "PET"], UNetEncoder, [0, 1, 2, 3], AttentionWeighted, SegmentationHead)
        >>> net(torch.randn(1, 2, 32, 32, 32)).shape
        torch.Size([1, 1, 32, 32, 32])
    """

    def __init__(
        self,
        modalities: Sequence[str],
        encoder: Callable[[int, int], Encoder],
        fuse_at: FuseAt,
        fusion: Callable[[int, int, int], FusionLayer],
        head: Callable[[Sequence[int], int], nn.Module],
        *,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        self.modalities = list(modalities)
        count = len(self.modalities)
        if count == 0 or len(set(self.modalities)) != count:
            raise ValueError(f"modalities must be different names, at least one; found {self.modalities}.")
        self.body: nn.Module
        if fuse_at == "input":
            self.body = InputFusion(count, encoder, fusion, head, spatial_dims)
        elif fuse_at == "output":
            self.body = OutputFusion(count, encoder, fusion, head, spatial_dims)
        elif isinstance(fuse_at, str):
            raise ValueError(f"fuse_at is {fuse_at!r}; use 'input', 'output' or a list of levels.")
        else:
            self.body = LevelFusion(count, encoder, list(fuse_at), fusion, head, spatial_dims)

    def forward(self, image: Tensor) -> Tensor:
        """Answer from the modalities that are there.

        Args:
            image: (batch, modality, *spatial). NaN where a modality was not acquired or outside its field of view;
                a modality without one finite value is absent. Where nothing at all was measured, zeros are read.

        Returns:
            Logits, as the head gives them.
        """
        if image.shape[1] != len(self.modalities):
            raise ValueError(
                f"image has {image.shape[1]} channels; expected one for each of {', '.join(self.modalities)}."
            )
        measured = torch.isfinite(image)
        available = measured.flatten(2).any(2)
        available = available | ~available.any(1, keepdim=True)
        return self.body(image.masked_fill(~measured, 0.0), available)


class InputFusion(nn.Module):
    """Lift each modality to the encoder's first width at every voxel, fuse, then encode once."""

    def __init__(self, count: int, encoder: Callable, fusion: Callable, head: Callable, spatial_dims: int) -> None:
        super().__init__()
        width = encoder(1, spatial_dims).channels[0]
        self.lift = nn.ModuleList(Conv["conv", spatial_dims](1, width, kernel_size=1) for _ in range(count))
        self.fusion = fusion(count, width, spatial_dims)
        self.encoder = encoder(width, spatial_dims)
        self.head = head(self.encoder.channels, spatial_dims)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits from (batch, modality, *spatial) and (batch, modality)."""
        lifted = [lift(image[:, m : m + 1]) for m, lift in enumerate(self.lift)]
        return self.head(self.encoder(self.fusion(torch.stack(lifted, dim=1), available)))


class LevelFusion(nn.Module):
    """Encode each modality down to the last fused level, fuse at each listed level, encode the rest once."""

    def __init__(
        self, count: int, encoder: Callable, levels: list[int], fusion: Callable, head: Callable, spatial_dims: int
    ) -> None:
        super().__init__()
        encoders = [encoder(1, spatial_dims) for _ in range(count)]
        channels = encoders[0].channels
        if not levels or sorted(set(levels)) != sorted(levels) or not set(levels) <= set(range(len(channels))):
            raise ValueError(f"fuse_at is {levels}; expected different levels from 0 to {len(channels) - 1}.")
        depth = max(levels) + 1
        self.trunk = encoders[0].stages[depth:]
        self.encoders = nn.ModuleList(Encoder(e.stages[:depth], channels[:depth]) for e in encoders)
        self.fusions = nn.ModuleList(
            fusion(count, c, spatial_dims) if k in levels else Nothing() for k, c in enumerate(channels[:depth])
        )
        self.head = head([c if k in levels or k >= depth else 0 for k, c in enumerate(channels)], spatial_dims)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits from (batch, modality, *spatial) and (batch, modality)."""
        each = [encoder(image[:, m : m + 1]) for m, encoder in enumerate(self.encoders)]
        features: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            features.append(fusion(torch.stack([levels[k] for levels in each], dim=1), available))
        for stage in self.trunk:
            features.append(stage(features[-1]))
        return self.head(features)


class OutputFusion(nn.Module):
    """A whole network for each modality; their logits are fused."""

    def __init__(self, count: int, encoder: Callable, fusion: Callable, head: Callable, spatial_dims: int) -> None:
        super().__init__()
        encoders = [encoder(1, spatial_dims) for _ in range(count)]
        heads = [head(e.channels, spatial_dims) for e in encoders]
        self.branches = nn.ModuleList(nn.Sequential(e, h) for e, h in zip(encoders, heads, strict=True))
        self.fusion = fusion(count, heads[0].out_channels, spatial_dims)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits from (batch, modality, *spatial) and (batch, modality)."""
        answers = [branch(image[:, m : m + 1]) for m, branch in enumerate(self.branches)]
        return self.fusion(torch.stack(answers, dim=1), available)


class Nothing(nn.Module):
    """What stands at a level that is not fused: a skip of no channels that still tells the level's grid."""

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Turn (batch, modality, channel, *spatial) into (batch, 0, *spatial)."""
        return features[:, 0, :0]
