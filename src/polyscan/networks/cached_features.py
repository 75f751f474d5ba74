"""A batch that is encoded once, and asked for answers from any of its modalities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyscan.fusion.blocks import flatten_space, pooled
from polyscan.networks.fusion_model import FusionModel

_AT_ONCE = 2**23
"""Numbers of the largest level, of all subsets that run as one batch: 32 MiB, about what a processor's cache holds."""


@dataclass(frozen=True, eq=False)
class CachedFeatures:
    """The features of every modality, from which a network answers for any of them; its encoders run once.

    Attributes:
        network: that has encoded it.
        features, available: what its ``encode`` returned; (batch, modality) bool says what is there.
        size: the grid of a map of logits.
        inputs: what the network takes behind the image, such as a table.

    Example:
        >>> cached = CachedFeatures.of(network, image)
        >>> everything = cached.logits()
        >>> without_first = cached.logits(cached.available & torch.tensor([False, True]))
        >>> everything.shape == without_first.shape
        True
    """

    network: FusionModel
    features: list[Tensor]
    available: Tensor
    size: list[int]
    inputs: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, network: FusionModel, image: Any, inputs: Sequence[Tensor] = ()) -> CachedFeatures:
        """Encode what a network takes first, NaN where absent; ``inputs`` is what it takes behind that."""
        return cls(network, *network.encode(image), network.image_size(image), tuple(inputs))

    def fuse(self, available: Tensor) -> list[Tensor]:
        """Fused features of every level from the modalities that ``available`` (batch, modality) names."""
        return self.network.fuse(list(self.features), available, *self.inputs)

    def head(self, fused: list[Tensor], available: Tensor) -> Tensor:
        """Logits from what :meth:`fuse` returned."""
        return self.network.head(list(fused), available, self.size)

    def logits(self, available: Tensor | None = None) -> Tensor:
        """Logits, as the network gives them.

        Args:
            available: (batch, modality) bool: what is read; everything that is there where not given.
        """
        read = self.available if available is None else available
        return self.head(self.fuse(read), read)

    def repeated(self, rows: int) -> CachedFeatures:
        """A batch of so many rows, all of them the one row of this one, in its memory."""

        def each(one: Tensor) -> Tensor:
            return one.expand(rows, *one.shape[1:])

        features, inputs = [*map(each, self.features)], tuple(map(each, self.inputs))
        return CachedFeatures(self.network, features, each(self.available), self.size, inputs)

    def subsets(self, available: Tensor) -> Tensor:
        """Logits of one study from each of several subsets of its modalities, several small ones in a batch.

        Args:
            available: (subset, modality) bool: what is read.

        Returns:
            (subset, ...), each as the network gives it for the study.
        """
        largest = max(level.numel() for level in self.features)
        batches = available.split(max(1, _AT_ONCE // largest))
        return torch.cat([self.repeated(len(rows)).logits(rows) for rows in batches])

    def pooled(self) -> Tensor:
        """(batch, modality, channel): the mean over the grid of the last level that the encoders made."""
        return pooled(self.features[-1])

    def described(self) -> Tensor:
        """What each scan looks like to its encoder, (batch, modality, feature), to be compared with other scans.

        Of each channel of each level the mean over the grid, the standard deviation, and the mean absolute difference
        of neighbours, summed over the axes. What the deepest level holds on average is what was seen; how noisy, sharp
        or even a scan is, the others say.
        """
        return torch.cat([part for level in self.features for part in _moments(level)], dim=2)

    def sampler(self) -> Callable[[], Tensor]:
        """A function that gives logits anew; only what holds the network's dropout runs again."""
        return self.network.sampler(self.features, self.available, self.size, *self.inputs)


def _moments(level: Tensor) -> list[Tensor]:
    """What is told of one level (batch, modality, channel, *spatial), each (batch, modality, channel)."""
    mean = pooled(level)
    if level.dim() == 3:  # of a vector there is nothing else
        return [mean]
    steps = [pooled(level.diff(dim=axis).abs()) for axis in range(3, level.dim()) if level.shape[axis] > 1]
    return [mean, flatten_space(level, 3).std(3, correction=0), sum(steps, torch.zeros_like(mean))]
