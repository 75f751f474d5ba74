"""One scale for scans that have none of their own."""

from __future__ import annotations

import numpy as np


def z_score(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float, float]:
    """(value - mean) / standard deviation, both taken inside the mask.

    Args:
        values: any shape; NaN stays.
        mask: bool, same shape.

    Returns:
        The values, the mean and the standard deviation.

    Raises:
        ValueError: nothing finite lies inside the mask, or it is all one value.
    """
    inside = values[mask & np.isfinite(values)].astype(np.float64)
    if inside.size == 0 or inside.std() == 0:
        raise ValueError("The scan has no contrast inside the body: it cannot be normalised.")
    mean, deviation = float(inside.mean()), float(inside.std())
    return ((values - mean) / deviation).astype(np.float32), mean, deviation
