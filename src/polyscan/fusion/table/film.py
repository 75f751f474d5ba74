"""Feature-wise linear modulation: the table scales and shifts each channel."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.blocks import ChannelMLP
from polyscan.fusion.table.base import TableFusion, affine, row


class FiLM(TableFusion):
    """F_c = (1 + gamma_c) M_c + beta_c with [gamma; beta] = MLP(table).

    Perez et al., AAAI 2018, with 1 + gamma in the place of gamma, so that it starts near the
    identity. The features themselves have no say in how they are changed; in DAFT they do.

    Args:
        channels, variables, width: see :class:`TableFusion`.
        hidden: width of the MLP; as many as channels where not given.
    """

    def __init__(self, channels: int, variables: int, width: int = 32, *, hidden: int | None = None) -> None:
        super().__init__(channels, variables, width)
        self.mlp = ChannelMLP(variables * width + variables, 2 * channels, hidden or channels)

    def fuse(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        scale, shift = self.mlp(row(tokens, recorded)).chunk(2, dim=1)
        return affine(features, 1 + scale, shift)
