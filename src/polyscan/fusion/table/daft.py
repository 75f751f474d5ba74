"""Dynamic affine feature map transform: image and table together scale and shift each channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.blocks import flatten_space
from polyscan.fusion.table.base import TableFusion, affine, row


class DAFT(TableFusion):
    """F_c = alpha_c M_c + beta_c with [alpha - 1; beta] = W2 relu(W1 [mean(M); table]).

    Dynamic affine feature map transform (Wolf et al., NeuroImage 2022): a bottleneck without biases.
    Ours: the one taken off alpha, so that it starts near the identity, and a bottleneck that is narrower than what
    enters by a factor (the published code has seven numbers whatever enters).

    Args:
        channels, variables, width: see :class:`TableFusion`.
        squeeze: by how much the bottleneck is narrower.
    """

    def __init__(self, channels: int, variables: int, width: int = 32, *, squeeze: int = 7) -> None:
        super().__init__(channels, variables, width)
        size = channels + variables * width + variables
        hidden = max(1, size // squeeze)
        self.bottleneck = nn.Sequential(
            nn.Linear(size, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, 2 * channels, bias=False)
        )

    def fuse(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        mean = flatten_space(features, 2).mean(2)
        scale, shift = self.bottleneck(torch.cat([mean, row(tokens, recorded)], dim=1)).chunk(2, dim=1)
        return affine(features, 1 + scale, shift)
