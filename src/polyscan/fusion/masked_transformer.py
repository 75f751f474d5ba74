"""A transformer over the tokens of all modalities, absent ones masked (mmFormer)."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, concatenate, mask_absent
from polyscan.fusion.blocks import (
    ModalityEmbedding,
    Pointwise,
    TransformerBlock,
    flatten_space,
    interpolate_to,
    positional_encoding,
    tokens_of,
)


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
        self.embed = ModalityEmbedding(modalities, channels)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads, expansion=4) for _ in range(depth))
        self.project = Pointwise(modalities * channels + modalities, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        every = features.flatten(0, 1)
        coarse = tokens_of(every, self.tokens)
        start = flatten_space(self.embed(coarse.unflatten(0, features.shape[:2])), 3).transpose(2, 3)
        start = start + positional_encoding(list(coarse.shape[2:]), self.channels, start)
        count = start.shape[2]
        tokens = start.flatten(1, 2)
        valid = available.repeat_interleave(count, dim=1)
        for block in self.blocks:
            tokens = block(tokens, valid)
        read = tokens.unflatten(1, [self.modalities, count]).transpose(2, 3).reshape(coarse.shape)
        every = every + interpolate_to(read, every)
        return self.project(concatenate(mask_absent(every.unflatten(0, features.shape[:2]), available), available))
