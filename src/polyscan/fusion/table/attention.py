"""Cross-attention: every position of the image asks the variables of the table."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.blocks import Attention, flatten_space
from polyscan.fusion.table.base import TableFusion


class TableAttention(TableFusion):
    """F = M + A(q = norm(M) at a position, k = v = T t_j of the recorded variables).

    Scaled dot-product attention (Vaswani et al., NeurIPS 2017) between image tokens and the tokens of a
    feature tokenizer (Gorishniy et al., NeurIPS 2021). A variable that was not recorded is not attended to. Time
    V (C^2 + variables C) for V voxels.

    Args:
        channels, variables, width: see :class:`TableFusion`.
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(self, channels: int, variables: int, width: int = 32, *, heads: int | None = None) -> None:
        super().__init__(channels, variables, width)
        self.norm = nn.LayerNorm(channels)
        self.stem = nn.Linear(width, channels)
        self.attention = Attention(channels, heads)

    def fuse(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        asking = flatten_space(features, 2).transpose(1, 2)
        read = self.attention(self.norm(asking), self.stem(tokens), recorded)
        return features + read.transpose(1, 2).reshape(features.shape)
