"""A study that is encoded once and asked many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from polyscan.fusion.blocks import pooled
from polyscan.networks import Encoded, FusionModel

_AT_ONCE = 2**23
"""Numbers of the largest level, of all subsets that run as one batch: 32 MiB, about what a processor's cache holds."""


class CachedFeatures(Encoded):
    """The features of every modality, from which a network answers for any of them; its encoders run once.

    Args:
        network: in evaluation mode.
        image: what the network takes first, NaN where absent.
        inputs: what it takes behind the image, such as a table.

    Attributes:
        available: (batch, modality) bool: what is there.

    Example:
        >>> cached = CachedFeatures(network, image)
        >>> everything = cached()
        >>> without_first = cached(cached.available & torch.tensor([False, True]))
        >>> everything.shape == without_first.shape
        True
    """

    def __init__(self, network: FusionModel, image: Any, inputs: Sequence[Tensor] = ()) -> None:
        super().__init__(network, *network.encode(image), network.image_size(image), tuple(inputs))

    def __call__(self, available: Tensor | None = None, inputs: Sequence[Tensor] | None = None) -> Tensor:
        """Logits, as the network gives them.

        Args:
            available: (batch, modality) bool: what is read; everything that is there where not given.
            inputs: in place of those given first.
        """
        asked: Encoded = self
        if inputs is not None:
            asked = Encoded(self.network, self.features, self.available, self.size, tuple(inputs))
        return asked.logits(self.available if available is None else available)

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

    def sampler(self) -> Callable[[], Tensor]:
        """A function that gives logits anew; only what holds the network's dropout runs again."""
        return self.network.sampler(self.features, self.available, self.size, *self.inputs)
