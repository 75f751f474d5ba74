"""Low-rank multilinear fusion: every product between modalities at the cost of a few linear maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import PerModality, flatten_space


class LowRankBilinear(FusionLayer):
    """F = sum_r v_r prod_i W_i^(r) [M_i; 1] + b, element by element, over the modalities that are available.

    Low-rank multimodal fusion (Liu et al., ACL 2018): the weight tensor of the outer product of all
    [M_i; 1] as a sum of ``rank`` rank-one terms. The factor of an absent modality is left out, that is 1. Factors start
    near 1, as 1 + W M with var W = 1 / (n C), so that what leaves the layer at the start has the size of what enters it
    however many modalities there are (ours; drawn about 0, a product of eight shrinks to a hundredth). Depends on the
    order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        rank: number of terms.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, rank: int = 4) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.rank = rank
        self.factors = PerModality(modalities, channels, rank * channels)
        nn.init.normal_(self.factors.weight, std=(modalities * channels) ** -0.5)
        if self.factors.bias is not None:
            nn.init.ones_(self.factors.bias)
        self.mix = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.full((channels,), -(rank**0.5)))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        factors = flatten_space(self.factors(features), 3).unflatten(2, [self.rank, self.channels])
        terms = factors.masked_fill(~expand(available, factors), 1.0).prod(1)
        fused = torch.einsum("r,brcv->bcv", self.mix, terms) + self.bias.unsqueeze(1)
        return fused.reshape(features.shape[:1] + features.shape[2:])
