"""A batch that a network has encoded, and may answer for from more than one subset of its modalities."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from polyscan.networks.fusion_model import FusionModel


@dataclass(frozen=True)
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

    def fuse(self, available: Tensor) -> list[Tensor]:
        """Fused features of every level from the modalities that ``available`` (batch, modality) names."""
        return self.network.fuse(list(self.features), available, *self.inputs)

    def head(self, fused: list[Tensor], available: Tensor) -> Tensor:
        """Logits from what :meth:`fuse` returned."""
        return self.network.head(list(fused), available, self.size)
