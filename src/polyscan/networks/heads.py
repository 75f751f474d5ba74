"""Heads: from the fused features of every level to the answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn


class SegmentationHead(nn.Module):
    """A U-Net decoder (Ronneberger et al., MICCAI 2015) with skips from the levels that were fused.

    Going up is linear interpolation to the grid of the level above, so that any image size and any stride of the
    encoder fits, then MONAI's pair of convolutions.

    Args:
        channels: of each level, finest first; 0 for a level that gives no skip.
        spatial_dims: 2 or 3.
        out_channels: channels of the answer (logits).
        width: channels that the decoder has at each level, finest first; the deepest level is taken as it comes.
        act, norm, dropout: as in ``monai.networks.nets.BasicUNet``.
    """

    def __init__(
        self,
        channels: Sequence[int],
        spatial_dims: int = 3,
        *,
        out_channels: int = 1,
        width: Sequence[int] = (16, 32, 64),
        act: str | tuple = ("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm: str | tuple = ("instance", {"affine": True}),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(width) != len(channels) - 1:
            raise ValueError(
                f"width names {len(width)} levels; {len(channels)} levels of features need {len(channels) - 1}."
            )
        self.out_channels = out_channels
        below = [*width[1:], channels[-1]]
        self.mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[spatial_dims]
        self.up = nn.ModuleList(
            TwoConv(spatial_dims, b + skip, w, act, norm, True, dropout)
            for b, skip, w in zip(below[::-1], channels[-2::-1], width[::-1], strict=True)
        )
        self.last = Conv["conv", spatial_dims](width[0], out_channels, kernel_size=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Turn features, finest level first, into logits (batch, out_channels, *spatial) on the finest level's grid."""
        x = features[-1]
        for k, up in enumerate(self.up):
            skip = features[len(features) - 2 - k]
            x = nn.functional.interpolate(x, size=skip.shape[2:], mode=self.mode, align_corners=False)
            x = up(torch.cat([skip, x], dim=1))
        return self.last(x)


class ClassificationHead(nn.Module):
    """Average the deepest level over space, then a linear map.

    Args:
        channels: of each level, finest first; only the last is read.
        spatial_dims: 2 or 3; any works.
        out_channels: number of classes (logits).
        dropout: probability before the linear map.
    """

    def __init__(
        self, channels: Sequence[int], spatial_dims: int = 3, *, out_channels: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(channels[-1], out_channels)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Turn features, finest level first, into logits (batch, out_channels)."""
        return self.last(self.dropout(features[-1].flatten(2).mean(-1)))
