"""A batch that a network has encoded, and may answer for from more than one subset of its modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from polyscan.networks.fusion_model import FusionModel


@dataclass(frozen=True, eq=False)
class Encoded:
    """What every answer to a batch begins with; encoders run once.

    Attributes:
        network: that has encoded it.
        features, available: what its ``encode`` returned.
        size: the grid of a map of logits.
        inputs: what the network takes beside images.
    """

    network: FusionModel
    features: list[Tensor]
    available: Tensor
    size: list[int]
    inputs: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, network: FusionModel, image: Any, inputs: Sequence[Tensor] = ()) -> Encoded:
        """Encode what a network takes first; ``inputs`` is what it takes behind that."""
        return Encoded(network, *network.encode(image), network.image_size(image), tuple(inputs))

    def fuse(self, available: Tensor) -> list[Tensor]:
        """Fused features of every level from the modalities that ``available`` (batch, modality) names."""
        return self.network.fuse(list(self.features), available, *self.inputs)

    def head(self, fused: list[Tensor], available: Tensor) -> Tensor:
        """Logits from what :meth:`fuse` returned."""
        return self.network.head(list(fused), available, self.size)

    def logits(self, available: Tensor) -> Tensor:
        """Logits from the modalities that ``available`` (batch, modality) names."""
        return self.head(self.fuse(available), available)

    def repeated(self, rows: int) -> Encoded:
        """A batch of so many rows, all of them the one row of this one, in its memory."""

        def each(one: Tensor) -> Tensor:
            return one.expand(rows, *one.shape[1:])

        features, inputs = [*map(each, self.features)], tuple(map(each, self.inputs))
        return Encoded(self.network, features, each(self.available), self.size, inputs)
