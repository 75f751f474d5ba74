"""Channel attention by a short convolution over the channels (ECA)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import average, pooled


class EfficientChannelAttention(FusionLayer):
    """F = mean over available i of sigma(conv_k(mean(M_i))) * M_i, a convolution along the channels.

    ECA-Net (Wang et al., CVPR 2020): k = |log2(C) / 2 + 1 / 2|, the nearest odd number; k weights
    in all, shared by the modalities. Unchanged by the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        kernel: odd length k of the convolution; by the formula where not given.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, kernel: int | None = None) -> None:
        super().__init__(modalities, channels, spatial_dims)
        size = kernel or int(math.log2(channels) / 2 + 0.5) // 2 * 2 + 1
        if size % 2 == 0:
            raise ValueError(f"kernel is {size}; expected an odd number.")
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        squeezed = pooled(features)
        gates = torch.sigmoid(self.conv(squeezed.flatten(0, 1).unsqueeze(1))).reshape(squeezed.shape)
        return average(expand(gates, features) * features, available)
