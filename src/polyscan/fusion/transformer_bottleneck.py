"""Concatenation, then a transformer over space (in the style of MTTU-Net)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import TransformerBlock, flatten_space, interpolate_to, positional_encoding, tokens_of
from polyscan.fusion.concatenation import Concatenation


class TransformerBottleneck(FusionLayer):
    """F = X + T(X + positions), X = W [M_1; ...; M_n; available] + b, T a transformer over the positions of X.

    Multi-task transformer U-Net (Cheng et al., MTTU-Net, IEEE TMI 41, 2022): early fusion and four transformer blocks
    at the deepest level. Here X is averaged over blocks so that at most T positions remain and what T adds is
    interpolated back; positions are sines and cosines, so that any grid fits. Time V n C^2 for V voxels, and
    T^2 C + T C^2 a block. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        depth: transformer blocks.
        tokens: positions at most (T).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        depth: int = 4,
        tokens: int = 512,
        heads: int | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.tokens = tokens
        self.concatenation = Concatenation(modalities, channels, spatial_dims)
        self.blocks = nn.ModuleList(TransformerBlock(channels, heads, expansion=4) for _ in range(depth))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        joint = self.concatenation.fuse(features, available)
        coarse = tokens_of(joint.unsqueeze(1), self.tokens).squeeze(1)
        start = flatten_space(coarse, 2).transpose(1, 2)
        start = start + positional_encoding(list(coarse.shape[2:]), self.channels, start)
        tokens = start
        valid = torch.ones(tokens.shape[0], tokens.shape[1], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            tokens = block(tokens, valid)
        return joint + interpolate_to((tokens - start).transpose(1, 2).reshape(coarse.shape), joint)
