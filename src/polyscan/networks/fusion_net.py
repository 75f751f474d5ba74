"""FusionNet: where modalities are joined is one choice, how they are joined another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.fusion.base import MakeFusion
from polyscan.networks.encoders import Encoder, EncoderEach, EncoderShared
from polyscan.networks.fusion_model import FusionModel, NoFusion, check_levels, check_makers, make_layer, split_missing
from polyscan.networks.heads import Head

FuseAt = Literal["input", "output"] | Sequence[int]
MakeEncoder = Callable[[int, int], Encoder]
MakeHead = Callable[[Sequence[int], int], Head]
Gather = Callable[[Sequence[Encoder]], nn.Module]


class FusionNet(FusionModel):
    """Read several modalities together, whichever of them are there.

    The parts are given as what makes them (a class, or ``functools.partial`` of one; ``"_mode_": "callable"`` in a
    bundle's config), since where fusion takes place decides how many of each are needed and with how many channels.

    Args:
        modalities: names in the order of the image's channels.
        encoder: ``encoder(in_channels, spatial_dims) -> Encoder``; or one for each modality by its name, with the same
            channels at each level, as :class:`polyscan.networks.PooledEncoder` has whatever it is put around.
        fuse_at: ``"input"`` (before the encoder), levels such as ``[3]`` (single-level) or ``[0, 1, 2, 3]``
            (hierarchical), or ``"output"`` (after the heads). Levels deeper than the last of a list are encoded
            once, from what was fused; levels that are not fused give the head nothing.
        fusion: ``fusion(modalities, channels, spatial_dims) -> FusionLayer``; or one for each level of ``fuse_at``,
            such as ``{0: Concatenation, 3: MaskedTransformer}`` (in JSON the levels are strings).
        head: ``head(channels, spatial_dims) -> Head``; it takes the features of all levels.
        spatial_dims: 1, 2 or 3.
        shared: one encoder for all modalities instead of one each; they run as one batch.
        checkpoint: save memory in training: the encoders' stages are computed again going backward.
        input_channels: with ``fuse_at="input"``, channels that each modality is projected to before it is fused; 16
            where not given.

    Raises:
        PolyscanError: a fusion layer joins something else than what stands at its place, or layers are given for levels
            that are not those of ``fuse_at``.

    Example:
        >>> net = FusionNet(["CT", "PET"], UNetEncoder, [0, 1, 2, 3], AttentionWeighted, SegmentationHead)
        >>> net(torch.randn(1, 2, 32, 32, 32)).shape
        torch.Size([1, 1, 32, 32, 32])
    """

    def __init__(
        self,
        modalities: Sequence[str],
        encoder: MakeEncoder | Mapping[str, MakeEncoder],
        fuse_at: FuseAt,
        fusion: MakeFusion | Mapping[Any, MakeFusion],
        head: MakeHead,
        *,
        spatial_dims: int = 3,
        shared: bool = False,
        checkpoint: bool = False,
        input_channels: int | None = None,
    ) -> None:
        count = len(modalities)
        check_makers(spatial_dims, encoder=encoder, fusion=fusion, head=head)
        if count == 0:
            raise ValueError("modalities must be a list of different names, at least one; found none.")
        if input_channels is not None and fuse_at != "input":
            raise ValueError(f"input_channels is {input_channels}; only fusion at the input has some.")
        body: InputFusion | LevelFusion | OutputFusion
        if fuse_at == "input":
            if isinstance(encoder, Mapping):
                raise ValueError("fusion at the input has one encoder for what it fused, not one for each modality.")
            body = InputFusion(count, encoder, fusion, head, spatial_dims, input_channels or 16)
        elif not isinstance(fuse_at, Sequence) or (isinstance(fuse_at, str) and fuse_at != "output"):
            raise ValueError(f"fuse_at is {fuse_at}; use input, output or a list of levels.")
        else:
            encoders = make_encoders(modalities, encoder, spatial_dims, shared)
            alike = not isinstance(encoder, Mapping)
            gather: Gather = (lambda one: EncoderShared(*one)) if shared else partial(EncoderEach, alike=alike)
            if isinstance(fuse_at, str):
                body = OutputFusion(count, encoders, gather, fusion, head, spatial_dims)
            else:
                body = LevelFusion(count, encoders, gather, list(fuse_at), fusion, head, spatial_dims)
        super().__init__(modalities, body.outputs, body.fused_channels)
        self.spatial_dims = spatial_dims
        self.joins_input = fuse_at == "input"
        self.body = body
        for module in self.modules():
            if isinstance(module, Encoder):
                module.checkpoint = checkpoint

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        if image.dim() != self.spatial_dims + 2:
            raise ValueError(
                f"image has {image.dim()} axes; expected batch and modality, and {self.spatial_dims} of space."
            )
        if image.shape[1] != len(self.modalities):
            raise ValueError(
                f"image has {image.shape[1]} channels; expected one for each of {', '.join(self.modalities)}."
            )
        filled, available = split_missing(image)
        return self.body.encode(filled, torch.isfinite(image).flatten(2).any(2)), available

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`; with fusion at the output, where the head fuses, what each head is to read."""
        return self.body.fuse(features, available)

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        return self.body.pre_logits(fused)

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        return self.body.logits(pre_logits, available)

    def dropout_layers(self) -> list[_DropoutNd]:
        return self.body.dropout_layers()


def make_encoders(
    modalities: Sequence[str], encoder: MakeEncoder | Mapping[str, MakeEncoder], spatial_dims: int, shared: bool
) -> list[Encoder]:
    """One for each modality, or one that all share.

    Raises:
        ValueError: those that are given by name are not one for each modality, or their channels differ.
    """
    if not isinstance(encoder, Mapping):
        return [encoder(1, spatial_dims) for _ in range(1 if shared else len(modalities))]
    if set(encoder) != set(modalities) or shared:
        raise ValueError(f"encoder names {', '.join(encoder)}; expected {', '.join(modalities)}, which share none.")
    encoders = [encoder[name](1, spatial_dims) for name in modalities]
    if len({each.channels for each in encoders}) > 1:
        found = ", ".join(f"{each.channels} of {name}" for name, each in zip(modalities, encoders, strict=True))
        raise ValueError(f"encoders have the channels {found}; to be fused all need the same, as PooledEncoder has.")
    return encoders


class FeatureFusion(nn.Module):
    """Features are joined, then read by one head; the methods are those of :class:`FusionModel`.

    Args:
        head: reads the fused features.
        channels: that they have at each level, finest first; 0 at a level that is not fused.
    """

    def __init__(self, head: Head, channels: Sequence[int]) -> None:
        super().__init__()
        self.outputs = head.outputs
        self.fused_channels = list(channels)
        self.head = head

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        """See :class:`FusionModel`."""
        return self.head.pre_logits(fused)

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionModel`."""
        return self.head.logits(pre_logits)

    def dropout_layers(self) -> list[_DropoutNd]:
        """See :class:`FusionModel`."""
        return self.head.dropout_layers()


class InputFusion(FeatureFusion):
    """Project each modality to some channels at every voxel, fuse, then encode once."""

    def __init__(
        self, count: int, encoder: MakeEncoder, fusion: Any, head: MakeHead, spatial_dims: int, channels: int
    ) -> None:
        joint = encoder(channels, spatial_dims)
        super().__init__(head(joint.channels, spatial_dims), joint.channels)
        check_levels(fusion, [0])
        self.stems = nn.ModuleList(Conv["conv", spatial_dims](1, channels, kernel_size=1) for _ in range(count))
        self.fusion = make_layer(fusion, 0, (count, channels, spatial_dims))
        self.encoder = joint

    def encode(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into one (batch, modality, channel, *spatial)."""
        projected = [stem(image[:, m : m + 1]) for m, stem in enumerate(self.stems)]
        return [torch.stack(projected, dim=1)]

    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """See :class:`FusionModel`."""
        return self.encoder(self.fusion(features[0], available))


class LevelFusion(FeatureFusion):
    """Encode each modality down to the last fused level, fuse at each listed level, encode the rest once."""

    def __init__(
        self,
        count: int,
        encoders: Sequence[Encoder],
        gather: Gather,
        levels: list[int],
        fusion: Any,
        head: MakeHead,
        spatial_dims: int,
    ) -> None:
        channels = encoders[0].channels
        if not levels or sorted(set(levels)) != sorted(levels) or not set(levels) <= set(range(len(channels))):
            raise ValueError(f"fuse_at is {levels}; expected different levels from 0 to {len(channels) - 1}.")
        check_levels(fusion, levels)
        depth = max(levels) + 1
        fused = [c if k in levels or k >= depth else 0 for k, c in enumerate(channels)]
        super().__init__(head(fused, spatial_dims), fused)
        self.joint_stages = encoders[0].stages[depth:]
        self.encoders = gather([Encoder(list(e.stages[:depth]), channels[:depth]) for e in encoders])
        self.fusions = nn.ModuleList(
            make_layer(fusion, k, (count, c, spatial_dims)) if k in levels else NoFusion()
            for k, c in enumerate(channels[:depth])
        )

    def encode(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into (batch, modality, channel, *spatial) of each level."""
        return self.encoders(image, available)

    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """See :class:`FusionModel`."""
        fused: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            fused.append(fusion(features[k], available))
        for stage in self.joint_stages:
            fused.append(stage(fused[-1]))
        return fused


class OutputFusion(nn.Module):
    """A whole network for each modality; their logits are fused."""

    def __init__(
        self,
        count: int,
        encoders: Sequence[Encoder],
        gather: Gather,
        fusion: Any,
        head: MakeHead,
        spatial_dims: int,
    ) -> None:
        heads = [head(encoders[0].channels, spatial_dims) for _ in range(count)]
        super().__init__()
        self.outputs = heads[0].outputs
        self.fused_channels: list[int] = []
        check_levels(fusion, [0])
        self.encoders = gather(encoders)
        self.heads = nn.ModuleList(heads)
        sizes = (count, heads[0].out_channels, spatial_dims)
        self.fusion = make_layer(fusion, 0, sizes, ("features", "logits"))

    def encode(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into one (batch, modality, channel, ...): each head up to its dropout."""
        levels = self.encoders(image, available)
        each: list[Tensor] = []
        for m, head in enumerate(self.heads):
            each.append(head.pre_logits([level[:, m] for level in levels]))  # type: ignore[operator]
        return [torch.stack(each, dim=1)]

    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """What ``encode`` returned: the logits are fused."""
        return features

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        """(batch, modality, channel, ...) of each head."""
        return fused[0]

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        """Fuse the heads' logits."""
        each: list[Tensor] = []
        for m, head in enumerate(self.heads):
            each.append(head.logits(pre_logits[:, m]))  # type: ignore[operator]
        return self.fusion(torch.stack(each, dim=1), available)

    def dropout_layers(self) -> list[_DropoutNd]:
        """See :class:`FusionModel`."""
        return [layer for head in self.heads for layer in head.dropout_layers()]  # type: ignore[operator]
