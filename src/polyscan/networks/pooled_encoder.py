"""An encoder that gives one vector, so that modalities of different shape can meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.networks.encoders import Encoder


class PooledEncoder(Encoder):
    """Another encoder, its deepest level averaged over space, and a linear map to a vector that all modalities share.

    So a picture, a volume, a sequence and a table are modalities of one :class:`polyscan.networks.FusionNet`, each with
    an encoder of its own, and any layer fuses their vectors (``fuse_at=[0]``) or their answers (``"output"``). They
    travel as one image on a grid that holds each of them, NaN where a modality does not reach, see :func:`pack`.

    Args:
        in_channels: 1.
        spatial_dims: of the common grid.
        encoder: ``encoder(1, len(shape)) -> Encoder``.
        shape: of the modality's own images.
        channels: of the vector.

    Example:
        >>> photo = partial(PooledEncoder, encoder=UNetEncoder, shape=[48, 48])
        >>> volume = partial(PooledEncoder, encoder=UNetEncoder, shape=[32, 32, 32])
        >>> net = FusionNet(["photo", "MRI"], {"photo": photo, "MRI": volume}, [0], GatedSum, ClassificationHead)
        >>> net(pack([torch.randn(2, 48, 48), torch.randn(2, 32, 32, 32)])).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 3,
        *,
        encoder: Callable[[int, int], Encoder],
        shape: Sequence[int],
        channels: int = 64,
    ) -> None:
        if not 1 <= len(shape) <= spatial_dims:
            raise ValueError(f"shape is {list(shape)}; it has 1 to {spatial_dims} sides, as the grid of all has.")
        super().__init__([PooledStage(encoder(in_channels, len(shape)), shape, channels)], [channels])


class PooledStage(nn.Module):
    """See :class:`PooledEncoder`.

    Args:
        encoder: of the modality.
        shape: of its images.
        channels: of the vector.
    """

    def __init__(self, encoder: Encoder, shape: Sequence[int], channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.shape = list(shape)
        self.map = nn.Linear(encoder.channels[-1], channels)

    def forward(self, image: Tensor) -> Tensor:
        """Turn (batch, channel, *grid) into (batch, channels, 1, ...), as many sides as the grid."""
        sides = image.dim() - 2
        for axis in range(sides):
            image = image.narrow(2 + axis, 0, self.shape[axis] if axis < len(self.shape) else 1)
        levels: list[Tensor] = self.encoder(image.reshape(list(image.shape[:2]) + self.shape))
        vector: Tensor = self.map(levels[-1].flatten(2).mean(2))
        return vector.reshape(list(vector.shape) + [1] * sides)


def pack(images: Sequence[Tensor]) -> Tensor:
    """Put images of different shape on the smallest grid that holds each of them.

    Args:
        images: of each modality (batch, *its own shape).

    Returns:
        (batch, modality, *grid), NaN where a modality does not reach.

    Example:
        >>> pack([torch.zeros(1, 4, 2), torch.zeros(1, 3, 3, 3)]).shape
        torch.Size([1, 2, 4, 3, 3])
    """
    sides = max(image.dim() - 1 for image in images)
    whole = [image.reshape(list(image.shape) + [1] * (sides + 1 - image.dim())) for image in images]
    grid = [max(sizes) for sizes in zip(*(image.shape[1:] for image in whole), strict=True)]
    packed = []
    for image in whole:
        lacking = [full - size for full, size in zip(grid, image.shape[1:], strict=True)]
        packed.append(functional.pad(image, [n for size in reversed(lacking) for n in (0, size)], value=math.nan))
    return torch.stack(packed, dim=1)
