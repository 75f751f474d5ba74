"""Concatenation along channels, then a linear map at every position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer


class Concatenation(FusionLayer):
    """F = W [M_1; ...; M_n; available] + b at every position.

    Absent modalities enter as zeros; the availability itself is concatenated, so that the map can tell a modality
    that is absent from one whose features are zero. ``W`` has ``channels * (modalities * channels + modalities)``
    entries. Depends on the order of the modalities.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = nn.Linear(modalities * channels + modalities, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        flat = features.flatten(1, 2).flatten(2) if features.dim() > 3 else features.flatten(1, 2).unsqueeze(2)
        flags = available.to(features.dtype).unsqueeze(2).expand(-1, -1, flat.shape[2])
        weight = self.project.weight.unsqueeze(2)
        fused = nn.functional.conv1d(torch.cat([flat, flags], dim=1), weight, self.project.bias)
        return fused.reshape(features.shape[:1] + features.shape[2:])
