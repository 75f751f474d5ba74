"""RidgeNet: a linear model of the tables, and a network that learns what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from polyscan.networks.fusion_model import FusionModel, FusionWrapper


class RidgeNet(FusionWrapper):
    """Add a linear model of all columns, of each subset of the tables its own, to what a network of vectors answers.

    With some hundred studies and more columns than that a linear model with a penalty is hard to beat, so that it is
    fitted first (:class:`polyscan.learning.FitRidge`), and the network learns the remainder (Cheng et al., Wide and
    deep learning, DLRS 2016). It stands among the weights. Beside it stand as many as there are groups of studies,
    each fitted without one group: from how they differ, samples of dropout draw the linear part (the delete-a-group
    jackknife, Kott, Journal of Official Statistics 17, 2001).

    Args:
        network: reads vectors; one output.
        size: of the longest vector.
        groups: of studies.

    Raises:
        ValueError: the network has more than six modalities, whose subsets are too many.

    Example:
        >>> encoder = partial(VectorEncoder, size=30, channels=(16,))
        >>> net = FusionNet(["clinical", "genes"], encoder, [0], Sum, CoxHead, spatial_dims=1)
        >>> RidgeNet(net, size=30)(torch.randn(4, 2, 30)).shape
        torch.Size([4, 1])
    """

    if TYPE_CHECKING:  # TorchScript reads what is annotated here, and knows no text
        digits: Tensor
        centre: Tensor
        coefficients: Tensor

    def __init__(self, network: FusionModel, size: int, groups: int = 5) -> None:
        super().__init__(network)
        count = len(self.modalities)
        if count > 6:
            raise ValueError(f"the network has {count} modalities; a linear model of each subset is kept of at most 6.")
        self.at_output = not network.fused_channels
        self.fused_channels = [] if self.at_output else [1 + groups, *network.fused_channels]
        self.jackknife = GroupJackknife()
        self.register_buffer("digits", 2 ** torch.arange(count), persistent=False)
        self.register_buffer("centre", torch.zeros(count, size))
        self.register_buffer("coefficients", torch.zeros(2**count, 1 + groups, count * size))

    def forward(self, image: Tensor) -> Tensor:
        """Answer (batch, 1) from the modalities that are there, as the network takes them."""
        features, available = self.encode(image)
        return self.head(self.fuse(features, available), available, list(image.shape[2:]))

    @torch.jit.export
    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionModel`; the first level holds the values themselves, about their means."""
        features, available = self.network.encode(image)
        values = (image - self.centre).masked_fill(~torch.isfinite(image), 0.0)
        return [values.unsqueeze(2)] + features, available

    @torch.jit.export
    def fuse(self, features: list[Tensor], available: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`; the first level holds the linear part, then that without each group."""
        values = features[0].masked_fill(~available[:, :, None, None], 0.0).flatten(1)
        each = torch.einsum("bk,sgk->bsg", values, self.coefficients)
        subset = (available.long() * self.digits).sum(1)
        linear = each[torch.arange(len(subset), device=subset.device), subset]
        return [linear.unsqueeze(2)] + self.network.fuse(features[1:], available)

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        """See :class:`FusionModel`: the linear parts, and what the network has behind them."""
        return torch.cat([fused[0].flatten(1), self.network.pre_logits(fused[1:]).flatten(1)], dim=1)

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        count = self.coefficients.shape[1]
        linear, rest = self.jackknife(pre_logits[:, :count]), pre_logits[:, count:]
        if self.at_output:
            rest = rest.reshape(len(rest), available.shape[1], -1)
        return linear + self.network.logits(rest, available)

    def dropout_layers(self) -> list[_DropoutNd]:
        return [*self.network.dropout_layers(), self.jackknife]


class GroupJackknife(_DropoutNd):
    """The linear part; while dropout is sampled, one drawn from how it differs where a group of studies is left out.

    Of G groups the covariance of what all studies tell is (G - 1) / G times the sum of squared differences.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, 1 + group) into (batch, 1)."""
        whole, without = x[:, :1], x[:, 1:]
        if not self.training:
            return whole
        scale = (1 - 1 / without.shape[1]) ** 0.5
        drawn = scale * torch.randn(without.shape[1], dtype=x.dtype, device=x.device)
        return whole + (drawn * (without - whole)).sum(1, keepdim=True)
