"""A study that is encoded once and asked many times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyscan.networks.fusion_net import measured, on_grid


class Once:
    """Answers from any of the modalities that are there.

    Where the network tells apart what it does to each modality and what it makes of all (``encode`` and ``decide``, as
    :class:`polyscan.networks.FusionNet` does), the first runs once. Another network is run again with NaN in place of
    what is left out.

    Args:
        network: in evaluation mode.
        image: (batch, channel, *spatial), NaN where absent; every modality has as many channels.
        others: what the network takes behind the image.
        modalities: how many there are.

    Attributes:
        available: (batch, modality) bool: what is there.
    """

    def __init__(
        self, network: nn.Module, image: Tensor, others: Sequence[Tensor] = (), modalities: int | None = None
    ) -> None:
        self.network = network
        self.image = image
        self.others = list(others)
        self.each = image.unflatten(1, (modalities or image.shape[1], -1))
        self.features: list[Tensor] | None = None
        if hasattr(network, "decide"):
            self.features, self.available = network.encode(image)  # type: ignore[operator]
        else:
            _, self.available = measured(self.each)

    def __call__(self, chosen: Tensor | None = None, others: Sequence[Tensor] | None = None) -> Tensor:
        """Logits, as the network gives them.

        Args:
            chosen: (batch, modality) bool: what is read; everything that is there where not given.
            others: in place of those given first.
        """
        there = self.available if chosen is None else chosen
        rest = self.others if others is None else others
        if self.features is not None:
            return on_grid(self.network.decide(self.features, there, *rest), self.image)  # type: ignore[operator]
        keep = there.reshape([*there.shape] + [1] * (self.each.dim() - 2))
        answer: Tensor = self.network(self.each.masked_fill(~keep, torch.nan).flatten(1, 2), *rest)
        return answer
