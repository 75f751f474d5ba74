"""Transformers within and between modalities, absent ones masked (mmFormer)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, LossInputs, concatenate, mask_absent
from polyscan.fusion.blocks import (
    PerModality,
    Pointwise,
    TransformerBlock,
    flatten_space,
    interpolate_to,
    resize,
    tokens_of,
)
from polyscan.fusion.region_supervision import supervise, supervise_each


class MaskedTransformer(FusionLayer):
    """F = W [T_1; ...; T_n] + V [M_1; ...; M_n; available] + b with T = inter(d_i intra_i(E_i M_i), i = 1 to n).

    Multimodal medical transformer (Zhang et al., mmFormer, MICCAI 2022): a transformer of its own for the
    tokens E_i M_i of each modality, and one over the tokens of all; d_i is 1 where modality i is there, else 0, so that
    an absent one enters by its positions alone. Positions are learned, a set for each modality, and added before every
    block. M_i are averaged over blocks so that at most T positions remain; learned positions are interpolated to that
    grid, and what the transformers tell back to the grid of the features. V and these averages are ours: the paper's
    transformers stand at a level of 8^3 positions. ``auxiliary_loss`` has the paper's two terms: ``modalities``, a
    decoder that all modalities share finds the regions in each alone, and ``regions``, deep supervision: they are found
    in F. Linear maps stand for the paper's convolutions (ours). Time (n T^2 + n^2 T^2) C a block, V n C^2 for V voxels.
    Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
        regions: of the auxiliary loss, the background included; at least one more than the target has.
        depth: blocks of each transformer.
        tokens: positions of each modality at most (T).
        width: numbers of a token; as many as channels where not given (in the paper four times as many).
        heads: as in :class:`polyscan.fusion.blocks.Attention` (in the paper 8).
        expansion: width of a block's MLP over that of a token (in the paper 8).
        dropout: in training, of what attention and MLP add.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"regions": 1.0, "modalities": 1.0}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        regions: int = 4,
        depth: int = 1,
        tokens: int = 512,
        width: int | None = None,
        heads: int | None = None,
        expansion: int = 4,
        dropout: float = 0.1,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        size = width or channels
        side = int(float(tokens) ** (1 / max(1, spatial_dims)) + 1e-6)
        self.tokens = tokens
        self.positions = nn.Parameter(torch.zeros([modalities, size] + [side] * spatial_dims))
        self.encode = PerModality(modalities, channels, size)
        self.intra = nn.ModuleList(Transformer(size, depth, heads, expansion, dropout) for _ in range(modalities))
        self.inter = Transformer(size, depth, heads, expansion, dropout)
        self.merge = Pointwise(modalities * size, channels)
        self.shortcut = Pointwise(modalities * channels + modalities, channels, bias=False)
        self.segment = Pointwise(channels, regions)
        self.decode = nn.Sequential(Pointwise(channels, channels), nn.LeakyReLU(0.2), Pointwise(channels, regions))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        coarse = tokens_of(features, self.tokens)
        positions = self._positions(list(coarse.shape[3:]))
        start = flatten_space(self.encode(coarse), 3).transpose(2, 3)
        own: list[Tensor] = []
        for m, transformer in enumerate(self.intra):
            own.append(transformer(start[:, m], positions[m]))
        tokens = mask_absent(torch.stack(own, dim=1), available)
        joint = self.inter(tokens.flatten(1, 2), positions.flatten(0, 1)).reshape(tokens.shape)
        read = self.merge(joint.transpose(2, 3).flatten(1, 2))
        read = read.reshape([features.shape[0], self.channels] + list(coarse.shape[3:]))
        shortcut = self.shortcut(concatenate(features, available))
        return interpolate_to(read, shortcut) + shortcut

    def _positions(self, grid: list[int]) -> Tensor:
        """Those of the tokens of a grid, (modality, token, width); of a vector their mean."""
        if len(grid) == 0:
            return flatten_space(self.positions, 2).mean(2).unsqueeze(1)
        return resize(self.positions, grid).flatten(2).transpose(1, 2)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``regions`` and ``modalities``; 0 without a map of regions on this grid."""
        return {
            "regions": supervise(self.segment(given.fused), given.target),
            "modalities": supervise_each(self.decode, given.features, given.available, given.target),
        }


class Transformer(nn.Module):
    """Blocks over the tokens of a grid; what says where a token is, is added before each of them.

    Args:
        channels: numbers of a token.
        depth: blocks.
        heads, expansion, dropout: see :class:`TransformerBlock`.
    """

    def __init__(self, channels: int, depth: int, heads: int | None, expansion: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(channels, heads, expansion=expansion, dropout=dropout) for _ in range(depth)
        )

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Turn tokens (batch, token, channel) at ``positions`` (token, channel) into tokens of the same shape."""
        valid = torch.ones(tokens.shape[0], tokens.shape[1], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            tokens = block(tokens + positions, valid)
        return tokens
