"""A transformer over the tokens of all modalities, absent ones masked (mmFormer)."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, cleared, concatenate
from polyscan.fusion.blocks import Named, Pointwise, TransformerBlock, flat, sine_cosine, spread, tokens_of


class MaskedTransformer(FusionLayer):
    """F = W [M_1 + T_1; ...; M_n + T_n; available] + b, T a transformer over the tokens of all modalities together.

    Inter-modal transformer (Zhang et al., mmFormer, MICCAI 2022, section 2.3): the features of each modality, averaged
    over blocks so that at most T positions remain, with their positions and a learned name of the modality, attend to
    all positions of all modalities there; what comes out is interpolated back. Time n^2 T^2 C + n T C^2 a block, and
    V n C^2 for V voxels. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        depth: transformer blocks.
        tokens: positions of each modality at most (T).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        depth: int = 1,
        tokens: int = 64,
        heads: int | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.tokens = tokens
        self.named = Named(modalities, channels)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads, expansion=4) for _ in range(depth))
        self.project = Pointwise(modalities * channels + modalities, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        every = features.flatten(0, 1)
        coarse = tokens_of(every, self.tokens)
        start = flat(self.named(coarse.unflatten(0, features.shape[:2]))).transpose(2, 3)
        start = start + sine_cosine(list(coarse.shape[2:]), self.channels, start)
        count = start.shape[2]
        tokens = start.flatten(1, 2)
        there = available.repeat_interleave(count, dim=1)
        for block in self.blocks:
            tokens = block(tokens, there)
        read = tokens.unflatten(1, [self.modalities, count]).transpose(2, 3).reshape(coarse.shape)
        every = every + spread(read, every)
        return self.project(concatenate(cleared(every.unflatten(0, features.shape[:2]), available), available))
