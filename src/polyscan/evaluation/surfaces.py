"""How far the surfaces of two masks lie apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from monai.transforms.utils import generate_spatial_bounding_box

_TOLERANCE_MM = 2.0 + 1e-3  # spacings of an affine are not exact


def surface_scores(found: torch.Tensor, true: torch.Tensor, spacing: Sequence[float]) -> tuple[float, float]:
    """Distance and agreement of the surfaces of two masks.

    Both are computed by MONAI, and are what Metrics Reloaded advises beside Dice (Maier-Hein et al., Nature Methods 21,
    2024). Surfaces are the voxels of a mask that share a face with one outside it, or with the edge of the image.

    Args:
        found: (x, y, z) bool.
        true: the same for the truth.
        spacing: (3,) millimetres between voxels along the axes, which are at right angles to each other and may be
            oblique to the patient's.

    Returns:
        The 95th percentile of the Hausdorff distance in millimetres: the larger one of both directions' percentiles of
        the distances from one surface to the other. NaN where either mask is empty.

        The normalised surface Dice (Nikolov et al., Deep learning to achieve clinically applicable segmentation of head
        and neck anatomy for radiotherapy, 2018): the part of both surfaces, 0 to 1, that lies within 2 mm of the other.
        0 where one mask is empty, NaN where both are.

    Example:
        >>> mask = torch.zeros(9, 9, 9, dtype=torch.bool)
        >>> mask[2:5, 2:5, 2:5] = True
        >>> surface_scores(mask, mask.roll(1, dims=0), (3.0, 1.0, 1.0))[0]
        3.0
    """
    union = found | true
    if not union.any():
        return float("nan"), float("nan")
    if not (found.any() and true.any()):
        return float("nan"), 0.0
    low, high = generate_spatial_bounding_box(union[None], margin=1, allow_smaller=True)
    box = tuple(slice(start, end) for start, end in zip(low, high, strict=True))
    masks = found[box][None, None], true[box][None, None]
    spacing = [float(step) for step in spacing]  # MONAI takes no mix of integers and floats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI deprecates an argument that it passes itself
        distance = compute_hausdorff_distance(*masks, True, percentile=95, spacing=spacing)
        agreement = compute_surface_dice(*masks, [_TOLERANCE_MM], True, spacing=spacing)
    return float(distance), float(agreement)
