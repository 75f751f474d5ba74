"""The network that makes one kind of scan of another."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """x + F(x), F being two convolutions of three voxels with instance norm."""

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(spatial_dims, channels, channels, 3),
            nn.ReLU(inplace=True),
            _conv(spatial_dims, channels, channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x + cast(Tensor, self.body(x))


class ResNetGenerator(nn.Module):
    """The generator of CycleGAN (Zhu et al., ICCV 2017, appendix 7.2; Johnson et al., ECCV 2016) in 2D or 3D.

    Two strided convolutions, residual blocks, and the way up again, by interpolation and a convolution where the paper
    has transposed ones, which leave a checkerboard (Odena et al., Distill 2016).

    Args:
        spatial_dims: 2 or 3.
        channels: of the finest level; twice and four times as many below.
        blocks: residual blocks of the coarsest level.

    Example:
        >>> ResNetGenerator(2, channels=4, blocks=1)(torch.zeros(1, 1, 18, 21)).shape
        torch.Size([1, 1, 18, 21])
    """

    def __init__(self, spatial_dims: int, channels: int = 32, blocks: int = 6) -> None:
        super().__init__()
        widths = (channels, 2 * channels, 4 * channels)
        self.stem = nn.Sequential(_conv(spatial_dims, 1, channels, 7), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(
            nn.Sequential(_conv(spatial_dims, fine, coarse, 3, stride=2), nn.ReLU(inplace=True))
            for fine, coarse in pairwise(widths)
        )
        self.blocks = nn.Sequential(*[ResidualBlock(spatial_dims, widths[-1]) for _ in range(blocks)])
        self.up = nn.ModuleList(
            nn.Sequential(_conv(spatial_dims, coarse, fine, 3), nn.ReLU(inplace=True))
            for coarse, fine in pairwise(reversed(widths))
        )
        self.last = Conv[Conv.CONV, spatial_dims](channels, 1, 7, padding=3, padding_mode="reflect")

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (batch, 1, *spatial) from -1 to 1; at least 10 voxels along each axis.

        Returns:
            (batch, 1, *spatial) from -1 to 1.
        """
        x = self.stem(image)
        sizes = []
        for step in self.down:
            sizes.append(x.shape[2:])
            x = step(x)
        x = self.blocks(x)
        for step, size in zip(self.up, reversed(sizes), strict=True):
            x = step(functional.interpolate(x, size=size, mode="nearest"))
        return torch.tanh(self.last(x))


def _conv(spatial_dims: int, channels: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        Conv[Conv.CONV, spatial_dims](
            channels, out, kernel, stride=stride, padding=padding, padding_mode="reflect", bias=False
        ),
        Norm[Norm.INSTANCE, spatial_dims](out, affine=True),
    )
