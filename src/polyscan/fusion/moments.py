"""Mean and variance over the modalities that are there (HeMIS)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import Pointwise, average


class Moments(FusionLayer):
    """F = W [E; V] + b with E = sum_i M_i / n and V = sum_i (M_i - E)^2 / (n - 1); V = 0 for one modality.

    Hetero-modal image segmentation (Havaei et al., HeMIS, MICCAI 2016: abstraction layer); its back end
    begins with the linear map W. Unchanged by the order of the modalities.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = Pointwise(2 * channels, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        mean = average(features, available)
        valid = expand(available, features).to(features.dtype)
        squares = ((features - mean.unsqueeze(1)) * valid).square().sum(1)
        variance = squares / (valid.sum(1) - 1).clamp(min=1)
        return self.project(torch.cat([mean, variance], dim=1))
