"""Mutual attention of a multimodal transformer (in the style of MTF with MA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import (
    Attention,
    FeedForward,
    ModalityEmbedding,
    flatten_space,
    interpolate_to,
    mean_of,
    tokens_of,
)


class MutualAttention(FusionLayer):
    """t'_m = t_m + mean over available n of A(q = t_n, k = v = t_m), t''_m = t'_m + MLP(t'_m), F = mean M_m + t''_m.

    Multimodal transformer with mutual attention (Cai et al., The Visual Computer 39, 2023): a modality is read with
    the questions of the others. t_m are the features averaged over blocks so that at most T positions remain, the
    answer is interpolated back. One block is shared by all pairs: time n^2 (T^2 C + T C^2), and n V C for V voxels.
    Alone, a modality has only its MLP. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        tokens: positions of each modality at most (T).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(
        self, modalities: int, channels: int, spatial_dims: int = 3, *, tokens: int = 64, heads: int | None = None
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.tokens = tokens
        self.embed = ModalityEmbedding(modalities, channels)
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.mlp = FeedForward(channels, 4)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        coarse = tokens_of(features, self.tokens)
        tokens = flatten_space(self.embed(coarse), 3).transpose(2, 3)
        normal = self.norm(tokens)
        valid = torch.ones(normal.shape[0], normal.shape[2], dtype=torch.bool, device=normal.device)
        fused: list[Tensor] = []
        for m in range(self.modalities):
            attended = torch.zeros_like(tokens[:, m])
            partners = torch.zeros_like(attended[:, :1, :1])
            for n in range(self.modalities):
                if n != m:
                    asked = available[:, n].to(tokens.dtype).reshape(-1, 1, 1)
                    attended = attended + asked * self.attention(normal[:, n], normal[:, m], valid)
                    partners = partners + asked
            read = tokens[:, m] + attended / partners.clamp(min=1)
            read = (read + self.mlp(read)).transpose(1, 2)
            read = read.reshape([features.shape[0], self.channels] + list(coarse.shape[3:]))
            fused.append(features[:, m] + interpolate_to(read, features[:, m]))
        return mean_of(torch.stack(fused, dim=1), available)
