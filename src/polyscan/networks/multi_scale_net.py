"""MultiScaleNet: modalities of different resolution enter each on its own grid and meet where grids agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.networks.layers import Pool
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.fusion.base import MakeFusion
from polyscan.fusion.blocks import Pointwise, interpolate_to
from polyscan.networks.encoders import Encoder, encode_available, may_branch
from polyscan.networks.fusion_model import FusionModel, FusionWrapper, check_levels, check_makers, make_layer
from polyscan.networks.fusion_net import MakeEncoder, MakeHead


class MultiScaleNet(FusionModel):
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
        fusion: MakeFusion | Mapping[Any, MakeFusion],
        head: MakeHead,
        *,
        spatial_dims: int = 3,
    ) -> None:
        check_makers(spatial_dims, encoder=encoder, fusion=fusion, head=head)
        enters = list(modalities.values())
        encoders = [encoder(1, spatial_dims) for _ in enters]
        channels = encoders[0].channels if encoders else ()
        if not encoders or min(enters) != 0 or max(enters) >= len(channels):
            raise ValueError(
                f"modalities enter at {dict(modalities)}; expected levels from 0 to {len(channels) - 1}, one of them 0."
            )
        made = head(channels, spatial_dims)
        super().__init__(list(modalities), made.outputs, channels)
        check_levels(fusion, range(len(channels)))
        self.spatial_dims = spatial_dims
        self.enters = enters
        self.finest = enters.index(0)
        self.branches = nn.ModuleList(Branch(e, channels, k) for e, k in zip(encoders, enters, strict=True))
        self.fusions = nn.ModuleList(
            make_layer(fusion, k, (len(enters), c, spatial_dims)) for k, c in enumerate(channels)
        )
        self.decoder = made

    def forward(self, images: list[Tensor]) -> Tensor:  # type: ignore[override]
        """Answer from the modalities that are there.

        Args:
            images: one (batch, 1, *spatial) for each modality, each on its own grid. NaN where it was not acquired or
                outside its field of view; what has no finite value is absent.

        Returns:
            Logits, as the head gives them; a map has the grid of the first modality that enters at level 0.

        Raises:
            ValueError: the number of images is not that of the modalities.
        """
        features, available = self.encode(images)
        return self.head(self.fuse(features, available), available, self.image_size(images))

    @torch.jit.export
    def encode(self, images: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionModel`; a modality is zero above the level at which it enters."""
        if len(images) != len(self.modalities):
            raise ValueError(f"found {len(images)} images; expected one for each of {', '.join(self.modalities)}.")
        available = torch.stack([torch.isfinite(image).flatten(1).any(1) for image in images], dim=1)
        levels: list[list[Tensor]] = []
        for m, branch in enumerate(self.branches):
            filled = images[m].masked_fill(~torch.isfinite(images[m]), 0.0)
            if self.training and not torch.jit.is_scripting():
                levels.append(encode_available(branch, filled, available[:, m]))
            elif not torch.jit.is_scripting() and m != self.finest and may_branch() and not available[:, m].any():
                levels.append([])
            else:
                levels.append(branch(filled))
        features: list[Tensor] = []
        for k in range(len(self.fused_channels)):
            finest = levels[self.finest][k]
            stacked: list[Tensor] = []
            for m, enters in enumerate(self.enters):
                stacked.append(
                    interpolate_to(levels[m][k - enters], finest)
                    if enters <= k and len(levels[m]) > 0
                    else torch.zeros_like(finest)
                )
            features.append(torch.stack(stacked, dim=1))
        return features, available

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`."""
        fused: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            here = available & torch.tensor([enters <= k for enters in self.enters], device=available.device)
            fused.append(fusion(features[k], here))
        return fused

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        return self.decoder.pre_logits(fused)

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        return self.decoder.logits(pre_logits)

    def image_size(self, images: list[Tensor]) -> list[int]:  # type: ignore[override]
        return list(images[self.finest].shape[2:])

    def dropout_layers(self) -> list[_DropoutNd]:
        return self.decoder.dropout_layers()


class Branch(nn.Module):
    """The encoder of one modality, its levels widened to those that it meets.

    Args:
        encoder: of the modality alone.
        channels: of the levels of all, finest first.
        enters: level at which the modality enters.
    """

    def __init__(self, encoder: Encoder, channels: Sequence[int], enters: int) -> None:
        super().__init__()
        depth = len(channels) - enters
        self.encoder = Encoder(list(encoder.stages[:depth]), channels[:depth])
        self.widen = nn.ModuleList(
            Pointwise(own, met) if enters else nn.Identity()
            for own, met in zip(channels[:depth], channels[enters:], strict=True)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, 1, *spatial) into features of each level from where it enters on."""
        levels: list[Tensor] = self.encoder(image)
        for j, widen in enumerate(self.widen):
            levels[j] = widen(levels[j])
        return levels


class PackedScales(FusionWrapper):
    """A MultiScaleNet behind the one image tensor that sliding windows, loaders and exporters know.

    A coarse scan is packed into the finest grid by repeating its voxels, which loses nothing: here each block of 2^k
    voxels is averaged, which gives the scan back, and only then is it convolved. Windows should begin at multiples of
    2^k voxels.

    Args:
        network: whose levels halve the grid.

    Example:
        >>> net = MultiScaleNet({"CT": 0, "PET": 1}, UNetEncoder, AttentionWeighted, SegmentationHead)
        >>> PackedScales(net)(torch.randn(1, 2, 32, 32, 32)).shape
        torch.Size([1, 1, 32, 32, 32])
    """

    def __init__(self, network: MultiScaleNet) -> None:
        super().__init__(network)
        self.unpack = nn.ModuleList(
            Pool["avg", network.spatial_dims](2**k, ceil_mode=True) if k else nn.Identity() for k in network.enters
        )

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        images: list[Tensor] = []
        for m, unpack in enumerate(self.unpack):
            images.append(unpack(image[:, m : m + 1]))
        return self.network.encode(images)
