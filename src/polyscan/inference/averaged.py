"""The mean of several answers: of an image and its mirror images, and of several networks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn


class MirrorAverage(nn.Module):
    """The mean of the logits of an image and of all its mirror images, each mirrored back (test-time augmentation).

    Args:
        network: takes (batch, modality, *spatial), and gives logits on the same grid.
        axes: spatial axes that are mirrored, all combinations of them; none: the network as it is.

    Example:
        >>> MirrorAverage(network, axes=[0, 1])(torch.randn(1, 2, 32, 32, 32))  # four passes
    """

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.flips = [
            [axis + 2 for axis in chosen] for n in range(len(axes) + 1) for chosen in itertools.combinations(axes, n)
        ]

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """See the class; further inputs of the network go through as they are."""
        total: Tensor = self.network(image, *inputs)
        for dims in self.flips[1:]:
            total = total + self.network(image.flip(dims), *inputs).flip(dims)
        return total / len(self.flips)


class EnsembleAverage(nn.Module):
    """The mean of the logits of networks of one shape, such as those of the folds of a cross-validation.

    Args:
        network: the first, whose weights are loaded elsewhere.
        others: files with the weights of the others.

    Raises:
        PolyscanError: weights were made for something else than the network, see ``polyscan.networks.FusionModel``.
    """

    def __init__(self, network: nn.Module, others: Sequence[str | Path] = ()) -> None:
        super().__init__()
        self.members = nn.ModuleList([network])
        for file in others:
            member = copy.deepcopy(network)
            member.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
            self.members.append(member)

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """See the class."""
        return torch.stack([member(image, *inputs) for member in self.members]).mean(0)
