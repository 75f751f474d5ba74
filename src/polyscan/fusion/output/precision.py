"""Precision-weighted mean: members that give a number and how sure they are of it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand


class PrecisionWeighted(FusionLayer):
    """mu = sum_m mu_m / v_m / sum_m 1 / v_m, 1 / v = sum_m 1 / v_m over the members that are there.

    The best linear estimate from independent measurements (Cochran, 1937). The first half of the channels are means,
    the second half logarithms of variances, coming in and going out, as a regression head with its own variance gives
    them. Unchanged by the order of the members.
    """

    joins: ClassVar[str] = "logits"

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        if channels % 2:
            raise ValueError(f"channels are {channels}; expected means and as many log variances, an even number.")

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        mean, log_variance = features.chunk(2, dim=2)
        log_precision = (-log_variance).masked_fill(~expand(available, mean), float("-inf"))
        weights = torch.softmax(log_precision, dim=1)
        return torch.cat([(weights * mean).sum(1), -torch.logsumexp(log_precision, dim=1)], dim=1)
