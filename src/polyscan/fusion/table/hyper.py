"""A hypernetwork: the table writes the weights of the layer that reads the image."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.blocks import ChannelMLP, flatten_space
from polyscan.fusion.table.base import TableFusion, row


class HyperFusion(TableFusion):
    """F = M + U(table) relu(V(table) M + b(table)) at every position, all three written by MLPs of the table.

    In the style of HyperFusion (Duenias et al., Medical Image Analysis 2025; Ha et al., Hypernetworks, ICLR 2017): not
    gains of channels as in FiLM and DAFT but whole linear maps depend on the patient. They have ``rank`` rows, so that
    the hypernetwork stays small; U is zero at the start, so that training begins with the image alone.

    Args:
        channels, variables, width: see :class:`TableFusion`.
        rank: rows of V.
        hidden: width of the hypernetwork.
    """

    def __init__(self, channels: int, variables: int, width: int = 32, *, rank: int = 8, hidden: int = 32) -> None:
        super().__init__(channels, variables, width)
        self.rank = rank
        size = variables * width + variables
        self.inward = ChannelMLP(size, rank * (channels + 1), hidden)
        self.outward = ChannelMLP(size, rank * channels, hidden)
        for parameter in self.outward[2].parameters():
            torch.nn.init.zeros_(parameter)

    def fuse(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        table = row(tokens, recorded)
        inward = self.inward(table).unflatten(1, [self.rank, self.channels + 1])
        outward = self.outward(table).unflatten(1, [self.channels, self.rank])
        hidden = torch.relu(inward[:, :, :-1] @ flatten_space(features, 2) + inward[:, :, -1:])
        return features + (outward @ hidden).reshape(features.shape)
