"""Mean of the modalities that are there."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import average


class Mean(FusionLayer):
    """F = sum_i M_i / n over the n modalities that are available (Havaei et al., HeMIS, MICCAI 2016, first moment).

    No parameters; unchanged by the order of the modalities.
    """

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return average(features, available)
