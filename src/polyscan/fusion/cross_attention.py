"""Cross-attention: each modality, or a chosen one, asks the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import Attention, ModalityEmbedding, flatten_space, mean_of, tokens_of


class CrossAttention(FusionLayer):
    """F = mean over asking i of M_i + A(q = M_i, k = v = tokens of the others), A multi-head attention.

    Vaswani et al. (NeurIPS 2017), queries from one modality and keys and values from the rest as in Tsai
    et al. (Multimodal Transformer, ACL 2019). Every voxel asks; what it reads are the other modalities
    averaged over blocks so that at most T positions of each remain. For V voxels and n modalities of C channels the
    time is n V C (n T + C) where each asks and V C (n T + C) where one does: linear in V.
    Alone, a modality comes out as it is. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        query: index of the modality that asks; each one where not given. Where it is absent, the first there asks.
        tokens: positions of each modality that are read at most (T).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        query: int | None = None,
        tokens: int = 64,
        heads: int | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        if query is not None and not 0 <= query < modalities:
            raise ValueError(f"query is {query}; expected the index of one of {modalities} modalities.")
        self.query = query
        self.tokens = tokens
        self.norm = nn.LayerNorm(channels)
        self.embed = ModalityEmbedding(modalities, channels)
        self.attention = Attention(channels, heads)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        coarse = flatten_space(tokens_of(features, self.tokens), 3)
        context = self.norm(self.embed(coarse).transpose(2, 3))
        voxels, named = flatten_space(features, 3), flatten_space(self.embed(features), 3)
        query = self.query
        if query is not None:
            rank = available.to(torch.int64)
            rank[:, query] = 2 * rank[:, query]
            asks = rank.argmax(1)
            where = asks.reshape(-1, 1, 1, 1).expand(-1, 1, voxels.shape[2], voxels.shape[3])
            fused = self._ask(voxels.gather(1, where), named.gather(1, where), context, available, asks).squeeze(1)
        else:
            readings: list[Tensor] = []
            for m in range(self.modalities):
                asks = torch.full_like(available[:, 0], m, dtype=torch.int64)
                readings.append(self._ask(voxels[:, m : m + 1], named[:, m : m + 1], context, available, asks))
            read = torch.cat(readings, dim=1)
            fused = mean_of(read, available)
        return fused.reshape(features.shape[:1] + features.shape[2:])

    def _ask(self, voxels: Tensor, named: Tensor, context: Tensor, available: Tensor, asks: Tensor) -> Tensor:
        """One modality (batch, 1, channel, voxel), number ``asks`` (batch) in each row, reads the others."""
        others = available & (torch.arange(self.modalities, device=asks.device) != asks.unsqueeze(1))
        valid = others.repeat_interleave(context.shape[2], dim=1)
        read = self.attention(self.norm(named.squeeze(1).transpose(1, 2)), context.flatten(1, 2), valid)
        return voxels + read.transpose(1, 2).unsqueeze(1)
