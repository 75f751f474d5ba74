"""All time points behind each other."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import concatenate, expand
from polyscan.fusion.blocks import Pointwise
from polyscan.fusion.temporal.base import TemporalFusion


class TemporalConcatenation(TemporalFusion):
    """F = W [M_1; ...; M_n; available; log(1 + days since the first)] + b at every position.

    Depends on the order in which the time points are given: give the roles, such as before and after treatment,
    their places.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = Pointwise(modalities * channels + 2 * modalities, channels)

    def fuse_days(self, features: Tensor, available: Tensor, days: Tensor) -> Tensor:
        since = expand(torch.log1p(days).to(features.dtype), features).squeeze(2)
        since = since.expand([-1, -1] + list(features.shape[3:]))
        return self.project(torch.cat([concatenate(features, available), since], dim=1))
