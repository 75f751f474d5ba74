"""FusionNet: where modalities are joined is one choice, how they are joined another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Optional

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from polyscan.fusion import FusionLayer
from polyscan.fusion.blocks import spread
from polyscan.networks.encoders import Encoder, EncoderEach, EncoderShared
from polyscan.networks.heads import Head

FuseAt = Literal["input", "output"] | Sequence[int]
MakeEncoder = Callable[[int, int], Encoder]
MakeFusion = Callable[[int, int, int], FusionLayer]
MakeHead = Callable[[Sequence[int], int], Head]


class FusionNet(nn.Module):
    """Read several modalities together, whichever of them are there.

    The parts are given as what makes them (a class, or ``functools.partial`` of one; ``"_mode_": "callable"`` in a
    bundle's config), since where fusion takes place decides how many of each are needed and with how many channels.

    What it does comes in three steps, so that what was computed once can be used again: ``encode`` runs the encoders
    on each modality, ``embed`` joins those that are said to be there, ``answer`` is the head's dropout and last map.
    ``decide`` is the last two at once; the networks around this one have it too.

    Args:
        modalities: names in the order of the image's channels.
        encoder: ``encoder(in_channels, spatial_dims) -> Encoder``.
        fuse_at: ``"input"`` (before the encoder), levels such as ``[3]`` (single-level) or ``[0, 1, 2, 3]``
            (hierarchical), or ``"output"`` (after the heads). Levels deeper than the last of a list are encoded
            once, from what was fused; levels that are not fused give the head nothing.
        fusion: ``fusion(modalities, channels, spatial_dims) -> FusionLayer``.
        head: ``head(channels, spatial_dims) -> Head``; it takes the features of all levels.
        spatial_dims: 2 or 3.
        shared: one encoder for all modalities instead of one each; they run as one batch.
        checkpoint: save memory in training: the encoders' stages are computed again going backward.

    Example:
        >>> net = FusionNet(["CT", "PET"], UNetEncoder, [0, 1, 2, 3], AttentionWeighted, SegmentationHead)
        >>> net(torch.randn(1, 2, 32, 32, 32)).shape
        torch.Size([1, 1, 32, 32, 32])
    """

    def __init__(
        self,
        modalities: Sequence[str],
        encoder: MakeEncoder,
        fuse_at: FuseAt,
        fusion: MakeFusion,
        head: MakeHead,
        *,
        spatial_dims: int = 3,
        shared: bool = False,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.spatial_dims = spatial_dims
        count = len(self.modalities)
        if count == 0 or len(set(self.modalities)) != count:
            raise ValueError(f"modalities must be different names, at least one; found {self.modalities}.")
        self.body: Body
        if fuse_at == "input":
            self.body = InputFusion(count, encoder, fusion, head, spatial_dims)
        elif fuse_at == "output":
            self.body = OutputFusion(count, encoder, fusion, head, spatial_dims, shared)
        elif isinstance(fuse_at, str):
            raise ValueError(f"fuse_at is {fuse_at!r}; use 'input', 'output' or a list of levels.")
        else:
            self.body = LevelFusion(count, encoder, list(fuse_at), fusion, head, spatial_dims, shared)
        for module in self.modules():
            if isinstance(module, Encoder):
                module.checkpoint = checkpoint

    def forward(self, image: Tensor) -> Tensor:
        """Answer from the modalities that are there.

        Args:
            image: (batch, modality, *spatial). NaN where a modality was not acquired or outside its field of view;
                a modality without one finite value is absent. Where nothing at all was measured, zeros are read.

        Returns:
            Logits, as the head gives them; a map has the grid of the image.
        """
        features, available = self.encode(image)
        return on_grid(self.decide(features, available), image)

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Run what stands before the fusion.

        Returns:
            Features (batch, modality, channel, ...) of each place of fusion, and (batch, modality) bool: what is there.
        """
        if image.shape[1] != len(self.modalities):
            raise ValueError(
                f"image has {image.shape[1]} channels; expected one for each of {', '.join(self.modalities)}."
            )
        filled, available = measured(image)
        return self.body.encode(filled), available

    @torch.jit.export
    def decide(self, features: list[Tensor], available: Tensor) -> Tensor:
        """What follows ``encode``: ``embed``, then ``answer``."""
        return self.answer(self.embed(features, available), available)

    @torch.jit.export
    def embed(self, features: list[Tensor], available: Tensor) -> Tensor:
        """Join the modalities that ``available`` (batch, modality) names, up to the dropout of the head."""
        return self.body.embed(features, available)

    @torch.jit.export
    def answer(self, embedding: Tensor, available: Tensor) -> Tensor:
        """Turn what ``embed`` gave into logits; with dropout where the heads' dropout layers are in training mode."""
        return self.body.answer(embedding, available)


def measured(image: Tensor) -> tuple[Tensor, Tensor]:
    """Turn NaN, which says what is absent, into zeros and an availability.

    Args:
        image: (batch, modality, ...), not finite where nothing was measured.

    Returns:
        The image with zeros there, and (batch, modality) bool: which modalities have one finite value. A row without
        any has all of them, so that zeros are read.
    """
    finite = torch.isfinite(image)
    available = finite.flatten(2).any(2)
    return image.masked_fill(~finite, 0.0), available | ~available.any(1, keepdim=True)


def on_grid(answer: Tensor, image: Tensor) -> Tensor:
    """Bring a map of logits onto the grid of the image; other answers stay as they are."""
    return spread(answer, image) if answer.dim() == image.dim() else answer


class Body(nn.Module):
    """What stands at one place of fusion; see :class:`FusionNet` for its three steps."""

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into (batch, modality, channel, ...) of each place of fusion."""
        raise NotImplementedError

    def embed(self, features: list[Tensor], available: Tensor) -> Tensor:
        """Join the modalities that are there, up to the dropout of the head."""
        raise NotImplementedError

    def answer(self, embedding: Tensor, available: Tensor) -> Tensor:
        """Logits."""
        raise NotImplementedError


class FeatureFusion(Body):
    """Features are joined, then read by one head.

    Args:
        head: reads the fused features.
        channels: that they have at each level, finest first; 0 at a level that is not fused.
    """

    def __init__(self, head: Head, channels: Sequence[int]) -> None:
        super().__init__()
        self.head = head
        self.channels = list(channels)

    def join(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """Fused features of every level, finest first."""
        raise NotImplementedError

    def embed(self, features: list[Tensor], available: Tensor) -> Tensor:
        """See :class:`FusionNet`."""
        return self.head.embed(self.join(features, available))

    def answer(self, embedding: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionNet`."""
        return self.head.answer(embedding)


class InputFusion(FeatureFusion):
    """Lift each modality to the encoder's first width at every voxel, fuse, then encode once."""

    def __init__(self, count: int, encoder: MakeEncoder, fusion: MakeFusion, head: MakeHead, spatial_dims: int) -> None:
        width = encoder(1, spatial_dims).channels[0]
        whole = encoder(width, spatial_dims)
        super().__init__(head(whole.channels, spatial_dims), whole.channels)
        self.lift = nn.ModuleList(Conv["conv", spatial_dims](1, width, kernel_size=1) for _ in range(count))
        self.fusion = fusion(count, width, spatial_dims)
        self.encoder = whole

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into one (batch, modality, channel, *spatial)."""
        lifted = [lift(image[:, m : m + 1]) for m, lift in enumerate(self.lift)]
        return [torch.stack(lifted, dim=1)]

    def join(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """Fused features of every level, finest first."""
        return self.encoder(self.fusion(features[0], available))


class LevelFusion(FeatureFusion):
    """Encode each modality down to the last fused level, fuse at each listed level, encode the rest once."""

    def __init__(
        self,
        count: int,
        encoder: MakeEncoder,
        levels: list[int],
        fusion: MakeFusion,
        head: MakeHead,
        spatial_dims: int,
        shared: bool,
    ) -> None:
        encoders = [encoder(1, spatial_dims) for _ in range(1 if shared else count)]
        channels = encoders[0].channels
        if not levels or sorted(set(levels)) != sorted(levels) or not set(levels) <= set(range(len(channels))):
            raise ValueError(f"fuse_at is {levels}; expected different levels from 0 to {len(channels) - 1}.")
        depth = max(levels) + 1
        given = [c if k in levels or k >= depth else 0 for k, c in enumerate(channels)]
        super().__init__(head(given, spatial_dims), given)
        self.trunk = encoders[0].stages[depth:]
        upper = [Encoder(list(e.stages[:depth]), channels[:depth]) for e in encoders]
        self.encoders = EncoderShared(upper[0]) if shared else EncoderEach(upper)
        self.fusions = nn.ModuleList(
            fusion(count, c, spatial_dims) if k in levels else Nothing() for k, c in enumerate(channels[:depth])
        )

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into (batch, modality, channel, *spatial) of each level."""
        return self.encoders(image)

    def join(self, features: list[Tensor], available: Tensor) -> list[Tensor]:
        """Fused features of every level, finest first."""
        fused: list[Tensor] = []
        for k, fusion in enumerate(self.fusions):
            fused.append(fusion(features[k], available))
        return self.deepen(fused)

    def deepen(self, fused: list[Tensor]) -> list[Tensor]:
        """Add the levels below the last one of fusion."""
        for stage in self.trunk:
            fused.append(stage(fused[-1]))
        return fused


class OutputFusion(Body):
    """A whole network for each modality; their logits are fused."""

    def __init__(
        self, count: int, encoder: MakeEncoder, fusion: MakeFusion, head: MakeHead, spatial_dims: int, shared: bool
    ) -> None:
        super().__init__()
        encoders = [encoder(1, spatial_dims) for _ in range(1 if shared else count)]
        self.encoders = EncoderShared(encoders[0]) if shared else EncoderEach(encoders)
        heads = [head(encoders[0].channels, spatial_dims) for _ in range(count)]
        self.heads = nn.ModuleList(heads)
        self.fusion = fusion(count, heads[0].out_channels, spatial_dims)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Turn (batch, modality, *spatial) into one (batch, modality, channel, ...): what each head embeds."""
        levels = self.encoders(image)
        embedded: list[Tensor] = []
        for m, head in enumerate(self.heads):
            embedded.append(head.embed([level[:, m] for level in levels]))  # type: ignore[operator]
        return [torch.stack(embedded, dim=1)]

    def embed(self, features: list[Tensor], available: Tensor) -> Tensor:
        """What each head embedded, as it is."""
        return features[0]

    def answer(self, embedding: Tensor, available: Tensor) -> Tensor:
        """Fuse the heads' answers."""
        answers: list[Tensor] = []
        for m, head in enumerate(self.heads):
            answers.append(head.answer(embedding[:, m]))  # type: ignore[operator]
        return self.fusion(torch.stack(answers, dim=1), available)


class Nothing(nn.Module):
    """What stands at a level that is not fused: a skip of no channels that still tells the level's grid."""

    def forward(self, features: Tensor, available: Tensor, days: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """Turn (batch, modality, channel, *spatial) into (batch, 0, *spatial)."""
        return features[:, 0, :0]
