"""Cross-attention: each modality, or a chosen one, asks the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import Attention, Named, average, flat, tokens_of


class CrossAttention(FusionLayer):
    """F = mean over asking i of M_i + A(q = M_i, k = v = tokens of the others), A multi-head attention.

    Vaswani et al. (NeurIPS 2017, equation 1), queries from one modality and keys and values from the rest as in Tsai
    et al. (Multimodal Transformer, ACL 2019, equation 4). Every voxel asks; what it reads are the other modalities
    averaged over blocks so that at most T positions of each remain. For V voxels and n modalities of C channels the
    time is n V C (n T + C) where each asks and V C (n T + C) where one does: linear in V.
    Alone, a modality comes out as it is. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        query: index of the modality that asks; each one where not given. Where it is absent, those that are there ask.
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
        self.named = Named(modalities, channels)
        self.attention = Attention(channels, heads)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        asking = available
        query = self.query
        if query is not None:
            chosen = torch.zeros_like(available)
            chosen[:, query] = available[:, query]
            asking = torch.where(chosen.any(1, keepdim=True), chosen, available)
        coarse = flat(tokens_of(features.flatten(0, 1), self.tokens).unflatten(0, features.shape[:2]))
        context = self.norm(self.named(coarse).transpose(2, 3))
        count = context.shape[2]
        context = context.flatten(1, 2)
        queries = self.norm(flat(self.named(features)).transpose(2, 3))
        read: list[Tensor] = []
        for m in range(self.modalities):
            others = available.clone()
            others[:, m] = False
            answer = self.attention(queries[:, m], context, others.repeat_interleave(count, dim=1))
            read.append(answer.transpose(1, 2).reshape(features.shape[:1] + features.shape[2:]))
        asked = (features + torch.stack(read, dim=1)) * expand(asking, features).to(features.dtype)
        return average(asked, asking)
