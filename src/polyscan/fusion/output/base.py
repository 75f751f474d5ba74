"""What every output rule is: a fusion layer whose features are logits."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from polyscan.fusion.base import FusionLayer


class OutputRule(FusionLayer):
    """Join the logits of several members into logits.

    A rule writes ``combine``, which joins log-probabilities. What comes out are log-probabilities up to a constant, so
    that softmax (or sigmoid) gives the fused probability and any rule stands at the output of a network.

    Args:
        modalities: number of members.
        channels: classes of a member's logits.
        spatial_dims: see :class:`FusionLayer`.
        sigmoid: whether channels are labels of their own (a sigmoid each), not classes that exclude each other.
    """

    joins: ClassVar[str] = "logits"

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, sigmoid: bool = False) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.sigmoid = sigmoid or channels == 1

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        if self.sigmoid:
            both = torch.stack([functional.logsigmoid(-features), functional.logsigmoid(features)], dim=2)
            no, yes = self.combine(both, available).unbind(1)
            return yes - no
        return self.combine(torch.log_softmax(features, dim=2), available)

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        """Join log-probabilities.

        Args:
            log_probability: (batch, member, class, ...), finite everywhere.
            available: (batch, member) bool.

        Returns:
            (batch, class, ...) log-probabilities up to a constant of each position.
        """
        raise NotImplementedError


class Pool(OutputRule):
    """A rule with a weight of each member; those of the members that are there are scaled to sum to one.

    Args:
        modalities, channels, spatial_dims, sigmoid: see :class:`OutputRule`.
        weights: of each member, positive, learned on where the network is trained; equal where not given.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        sigmoid: bool = False,
        weights: list[float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, sigmoid=sigmoid)
        self.log_weights = torch.nn.Parameter(log_of(weights, modalities))

    def log_shares(self, available: Tensor) -> Tensor:
        """Logarithms of the weights (batch, member) that sum to one over the members that are there."""
        return torch.log_softmax(self.log_weights.masked_fill(~available, float("-inf")), dim=1)


def log_of(weights: list[float] | None, members: int) -> Tensor:
    """Logarithms of the weights of all members; zeros where none are given."""
    if weights is None:
        return torch.zeros(members)
    if len(weights) != members or min(weights) <= 0:
        raise ValueError(f"weights are {weights}; expected {members} positive numbers.")
    return torch.tensor(weights).log()
