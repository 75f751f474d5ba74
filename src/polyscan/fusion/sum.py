"""Sum of the modalities that are there."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.base import FusionLayer


class Sum(FusionLayer):
    """F = sum_i M_i over the modalities that are available; its size grows with their number, unlike the mean's.

    No parameters; unchanged by the order of the modalities.
    """

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return features.sum(1)
