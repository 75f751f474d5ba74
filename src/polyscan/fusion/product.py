"""Product of the modalities that are there."""

from __future__ import annotations

from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand


class Product(FusionLayer):
    """F = prod_i M_i, channel by channel, over the modalities that are available.

    An AND of its factors: a channel is large only where every modality's is, and vanishes with any of them, gradients
    included. No parameters; unchanged by the order of the modalities.
    """

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return features.masked_fill(~expand(available, features), 1.0).prod(1)
