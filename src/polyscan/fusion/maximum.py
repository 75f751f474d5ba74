"""Maximum over the modalities that are there."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand


class Maximum(FusionLayer):
    """F = max_i M_i, channel by channel, over the modalities that are available.

    No parameters; unchanged by the order of the modalities.
    """

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return features.masked_fill(~expand(available, features), float("-inf")).amax(1)
