"""MultiScaleNet: modalities of different resolution enter each on its own grid and meet where grids agree."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polyscan.fusion.base import expand
from polyscan.fusion.blocks import Pointwise, spread
from polyscan.networks.encoders import Encoder
from polyscan.networks.fusion_net import MakeEncoder, MakeFusion, MakeHead, on_grid


class MultiScaleNet(nn.Module):
    """Hierarchical fusion of scans that were never brought onto one grid.

    A modality that enters at level k has about the grid of the encoders' level k: with halving levels, a PET of 4 mm
    beside a CT of 1 mm enters at level 2. Its own encoder's level j is fused with the others' level j + k; above
    level k it counts as absent. So a coarse scan is neither enlarged by interpolation nor convolved at a resolution
    that it does not have. The scans must lie in one space (registered, same field of view), not on one grid.

    Args:
        modalities: name to the level at which it enters, 0 for the finest; one at least enters at 0.
        encoder, fusion, head, spatial_dims: as :class:`polyscan.networks.FusionNet` takes them.

    Example:
        >>> net = MultiScaleNet({"CT": 0, "PET": 2}, UNetEncoder, AttentionWeighted, SegmentationHead)
        >>> net([torch.randn(1, 1, 64, 64, 64), torch.randn(1, 1, 16, 16, 16)]).shape
        torch.Size([1, 1, 64, 64, 64])
    """

    def __init__(
        self,
        modalities: Mapping[str, int],
        encoder: MakeEncoder,
        fusion: MakeFusion,
        head: MakeHead,
        *,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.enters = list(modalities.values())
        encoders = [encoder(1, spatial_dims) for _ in self.modalities]
        channels = encoders[0].channels if encoders else ()
        if not encoders or min(self.enters) != 0 or max(self.enters) >= len(channels):
            raise ValueError(
                f"modalities enter at {dict(modalities)}; expected levels from 0 to {len(channels) - 1}, one of them 0."
            )
        self.encoders = nn.ModuleList(
            Encoder(list(e.stages[: len(channels) - k]), channels[: len(channels) - k])
            for e, k in zip(encoders, self.enters, strict=True)
        )
        self.widen = nn.ModuleList(
            nn.ModuleList(Pointwise(c, channels[j + k]) for j, c in enumerate(channels[: len(channels) - k]))
            if k
            else nn.ModuleList(nn.Identity() for _ in channels)
            for k in self.enters
        )
        self.fusions = nn.ModuleList(fusion(len(self.modalities), c, spatial_dims) for c in channels)
        self.head = head(channels, spatial_dims)

    def forward(self, images: list[Tensor]) -> Tensor:
        """Answer from the modalities that are there.

        Args:
            images: one (batch, 1, *spatial) for each modality, each on its own grid. NaN where it was not acquired or
                outside its field of view; what has no finite value is absent.

        Returns:
            Logits, as the head gives them; a map has the grid of the first modality that enters at level 0.

        Raises:
            ValueError: the number of images is not that of the modalities.
        """
        if len(images) != len(self.modalities):
            raise ValueError(f"found {len(images)} images; expected one for each of {', '.join(self.modalities)}.")
        finite = [torch.isfinite(image) for image in images]
        there = torch.stack([measured.flatten(1).any(1) for measured in finite], dim=1)
        finest = self.enters.index(0)
        fused: list[Tensor] = []
        levels: list[list[Tensor]] = []
        for encoder, widen, image, measured in zip(self.encoders, self.widen, images, finite, strict=True):
            features = encoder(image.masked_fill(~measured, 0.0))
            levels.append([wide(x) for wide, x in zip(widen, features, strict=True)])  # type: ignore[call-overload]
        for k, fusion in enumerate(self.fusions):
            like = levels[finest][k]
            entered = torch.tensor([enters <= k for enters in self.enters], device=there.device)
            stacked = torch.stack(
                [
                    spread(of_one[k - enters], like) if enters <= k else torch.zeros_like(like)
                    for of_one, enters in zip(levels, self.enters, strict=True)
                ],
                dim=1,
            )
            available = there & entered
            some = available.any(1)
            joint = fusion(stacked, available | ~some.unsqueeze(1))
            fused.append(joint * expand(some, joint).to(joint.dtype))
        answer: Tensor = self.head(fused)
        return on_grid(answer, images[finest])
