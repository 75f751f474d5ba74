"""The latest scan and its difference from the earliest."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import expand
from polyscan.fusion.blocks import Pointwise, mean_of
from polyscan.fusion.temporal.base import TemporalFusion, earliest, latest


class TemporalDifference(TemporalFusion):
    """F = W [M_last; M_last - M_first; log(1 + days)] + b, of the earliest and the latest time points that are there.

    The pre- and post-treatment difference of a Siamese network with its final state beside it. One time point alone
    has a difference of zero over zero days. Unchanged by the order in which the time points are given.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = Pointwise(2 * channels + 1, channels)

    def fuse_days(self, features: Tensor, available: Tensor, days: Tensor) -> Tensor:
        last = mean_of(features, latest(days, available))
        change = last - mean_of(features, earliest(days, available))
        between = expand(torch.log1p(days.amax(1)).to(features.dtype), last)
        return self.project(torch.cat([last, change, between.expand_as(last[:, :1])], dim=1))
