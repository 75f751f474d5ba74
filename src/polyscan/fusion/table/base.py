"""What every layer is by which a table acts on features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import expand


class TableFusion(nn.Module):
    """Let the variables of a table act on the features of images.

    A layer writes ``fuse``, which finds zeros wherever a variable is absent. Whatever stood there before changes
    neither the output nor a gradient, and a row without any variable comes out as it came.

    Args:
        channels: of the features.
        variables: number of tokens of the table.
        width: numbers of a token.
    """

    joins: ClassVar[str] = "a table and features"

    def __init__(self, channels: int, variables: int, width: int = 32) -> None:
        super().__init__()
        if channels < 1 or variables < 1 or width < 1:
            raise ValueError(f"channels, variables, width must be at least 1, found {channels}, {variables}, {width}.")
        self.channels = channels
        self.variables = variables
        self.width = width

    def forward(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        """Join features and table.

        Args:
            features: (batch, channel, *spatial); any rank of spatial, none included.
            tokens: (batch, variable, width), as :class:`TableTokens` gives them.
            recorded: (batch, variable) bool.

        Returns:
            Of the shape of ``features``.

        Raises:
            ValueError: a shape is not the one that the layer was made for.
        """
        if features.dim() < 2 or features.shape[1] != self.channels:
            raise ValueError(f"features have shape {list(features.shape)}; expected (batch, {self.channels}, ...).")
        expected = [features.shape[0], self.variables, self.width]
        if list(tokens.shape) != expected or recorded.shape != tokens.shape[:2]:
            raise ValueError(
                f"tokens and recorded have shapes {list(tokens.shape)} and {list(recorded.shape)}; "
                f"expected {expected} and {expected[:2]}."
            )
        fused = self.fuse(features, tokens.masked_fill(~recorded.unsqueeze(2), 0.0), recorded)
        return torch.where(expand(recorded.any(1), features), fused, features)

    def fuse(self, features: Tensor, tokens: Tensor, recorded: Tensor) -> Tensor:
        """Join features and table; ``tokens`` are zero where ``recorded`` is False."""
        raise NotImplementedError


def row(tokens: Tensor, recorded: Tensor) -> Tensor:
    """The whole table as one vector: (batch, variable * width + variable), with what was recorded at the end."""
    return torch.cat([tokens.flatten(1), recorded], dim=1)


def affine(features: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Features * scale + shift with (batch, channel) scale and shift."""
    return features * expand(scale, features) + expand(shift, features)
