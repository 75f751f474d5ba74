"""What two kinds of scan of one body have in common: its structure, told without regard to brightness."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_LEAST = 1e-4  # a variance: where a picture is flat its descriptor is 1, and not the ratio of two roundings


def mind(image: Tensor) -> Tensor:
    """The modality independent neighbourhood descriptor (Heinrich et al., Medical Image Analysis 16, 2012, eq. 3 to 5).

    For each of the nearest voxels the distance D of the patches of three voxels about it and about the voxel itself, as
    exp(-D / V), where V is the mean of D over all of them; divided by the largest.

    Args:
        image: (batch, 1, *spatial) from -1 to 1.

    Returns:
        (batch, 2 * dimensions, *spatial) from 0 to 1.
    """
    dims = image.dim() - 2
    padded = functional.pad(image, [2] * 2 * dims, mode="replicate")
    inner = [slice(1, -1)] * dims
    centre = padded[tuple([slice(None)] * 2 + inner)]
    mean = functional.avg_pool2d if dims == 2 else functional.avg_pool3d
    distances = []
    for axis in range(dims):
        for shift in (slice(0, -2), slice(2, None)):
            neighbour = padded[tuple([slice(None)] * 2 + inner[:axis] + [shift] + inner[axis + 1 :])]
            distances.append(mean((centre - neighbour).square(), 3, stride=1))
    distance = torch.cat(distances, dim=1)
    variance = distance.mean(1, keepdim=True).clamp_min(_LEAST)
    descriptor = torch.exp(-distance / variance)
    return descriptor / descriptor.amax(1, keepdim=True)
