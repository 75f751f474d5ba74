"""Self-attention among the modalities of one position."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import ModalityEmbedding, TransformerBlock, flatten_space, mean_of


class SelfAttention(FusionLayer):
    """F = mean over available i of T(M_1 + e_1, ..., M_n + e_n)_i, T a transformer whose tokens are the modalities.

    Scaled dot-product attention (Vaswani et al., NeurIPS 2017) in blocks with the norm first; e_i is a
    learned vector that names the modality, so that the output depends on the order. Each position attends among its
    own modalities alone, n tokens, so that 3D maps fit: for V voxels the time is V (n^2 C + n C^2), linear in V.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
        depth: transformer blocks.
    """

    def __init__(
        self, modalities: int, channels: int, spatial_dims: int = 3, *, heads: int | None = None, depth: int = 1
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.embed = ModalityEmbedding(modalities, channels)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads) for _ in range(depth))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        positions = flatten_space(self.embed(features), 3).permute(0, 3, 1, 2)
        valid = available.unsqueeze(1).expand(-1, positions.shape[1], -1).flatten(0, 1)
        tokens = positions.flatten(0, 1)
        for block in self.blocks:
            tokens = block(tokens, valid)
        fused = mean_of(tokens, valid)
        fused = fused.unflatten(0, [features.shape[0], positions.shape[1]]).transpose(1, 2)
        return fused.reshape(features.shape[:1] + features.shape[2:])
