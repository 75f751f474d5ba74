"""Concatenation along channels, then a linear map at every position."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.base import FusionLayer, concatenate
from polyscan.fusion.blocks import Pointwise


class Concatenation(FusionLayer):
    """F = W [M_1; ...; M_n; available] + b at every position.

    Absent modalities enter as zeros; the availability itself is concatenated, so that the map can tell a modality
    that is absent from one whose features are zero. ``W`` has ``channels * (modalities * channels + modalities)``
    entries. Depends on the order of the modalities.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = Pointwise(modalities * channels + modalities, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return self.project(concatenate(features, available))
