"""The mean of several answers: of an image and its mirror images, and of several networks."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from polyscan.networks import FusionModel


class MirrorAverage(nn.Module):
    """The mean of the logits of an image and of all its mirror images, each mirrored back (test-time augmentation).

    Args:
        network: takes (batch, modality, *spatial), and gives logits on the same grid.
        axes: spatial axes that are mirrored, all combinations of them; none: the network as it is.

    Example:
        >>> MirrorAverage(network, axes=[0, 1])(torch.randn(1, 2, 16, 16, 16)).shape  # four passes
        torch.Size([1, 1, 16, 16, 16])
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
            total = total + self.mirrored(dims, image, *inputs)
        return total / len(self.flips)

    def mirrored(self, dims: list[int], image: Tensor, *inputs: Tensor) -> Tensor:
        """The logits of one mirror image, mirrored back."""
        logits: Tensor = self.network(image.flip(dims), *inputs)
        return logits.flip(dims)


class EnsembleAverage(FusionModel):
    """The mean answer of networks of one shape, such as those of the folds of a cross-validation.

    The probabilities of tasks are averaged, as of deep ensembles (Lakshminarayanan et al., NeurIPS 2017).
    It is a network as its members are, so that subsets and Shapley values are those of the mean. Samples of dropout go
    round the members, so that their spread is that of an ensemble of Monte Carlo dropout.

    Args:
        network: the first, whose weights are loaded elsewhere.
        others: files with the weights of the others.
        tasks: task to its classes, in the order of the logits. Their probabilities are averaged, and the logits are the
            logarithms of the means. Without tasks, as of masks and of risks, the logits themselves are averaged.

    Raises:
        PolyscanError: weights were made for something else than the network, see ``polyscan.networks.FusionModel``.
    """

    def __init__(
        self,
        network: FusionModel,
        others: Sequence[str | Path] = (),
        tasks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(network.modalities, network.outputs, network.fused_channels)
        self.joins_input = network.joins_input
        self.classes = [len(classes) for classes in (tasks or {}).values()]
        members = [network]
        for file in others:
            member = copy.deepcopy(network)
            member.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
            members.append(member)
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor, *inputs: Tensor) -> Tensor:
        """The mean answer; members run one after the other, and none keeps its features."""
        return self._mean(torch.stack([member(image, *inputs) for member in self.members]))

    def encode(self, image: Any) -> tuple[list[Tensor], Tensor]:
        """See :class:`FusionModel`; the levels of the first member, then those of the next."""
        each = [member.encode(image) for member in self._networks()]
        return [level for levels, _ in each for level in levels], each[0][1]

    def fuse(self, features: list[Tensor], available: Tensor, *inputs: Tensor) -> list[Tensor]:  # type: ignore[override]
        """See :class:`FusionModel`."""
        return [level for member, own in self._shared_out(features) for level in member.fuse(own, available, *inputs)]

    def pre_logits(self, fused: list[Tensor]) -> Tensor:
        """See :class:`FusionModel`: (member, ...)."""
        return torch.stack([member.pre_logits(own) for member, own in self._shared_out(fused)])

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        both = zip(self._networks(), pre_logits, strict=True)
        return self._mean(torch.stack([member.logits(own, available) for member, own in both]))

    def dropout_layers(self) -> list[_DropoutNd]:
        return [layer for member in self._networks() for layer in member.dropout_layers()]

    def sampler(
        self, features: list[Tensor], available: Tensor, size: list[int], *inputs: Tensor
    ) -> Callable[[], Tensor]:
        """See :class:`FusionModel`; each member in turn, with dropout of its own."""
        each = [member.sampler(own, available, size, *inputs) for member, own in self._shared_out(features)]
        samplers = itertools.cycle(each)
        return lambda: next(samplers)()

    def image_size(self, image: Any) -> list[int]:
        return self._networks()[0].image_size(image)

    def _networks(self) -> list[Any]:
        return list(self.members)

    def _shared_out(self, levels: list[Tensor]) -> list[tuple[Any, list[Tensor]]]:
        """Each member with the levels that are its own."""
        members = self._networks()
        step = len(levels) // len(members)
        return [(member, levels[k * step : (k + 1) * step]) for k, member in enumerate(members)]

    def _mean(self, logits: Tensor) -> Tensor:
        """From (member, batch, ...) to (batch, ...)."""
        if not self.classes or len(logits) == 1:
            return logits.mean(0)
        parts = torch.split(logits, self.classes, dim=2)
        means = [torch.logsumexp(part.log_softmax(2), 0) - math.log(len(logits)) for part in parts]
        return torch.cat(means, dim=1)
