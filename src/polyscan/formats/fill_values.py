"""Which voxels of a volume hold a measurement at all."""

from __future__ import annotations

import numpy as np

from polyscan.errors import PolyscanError

_LARGEST = 1e30  # fill values of other formats, such as 9.97e36 and 3.4e38, lie above


def without_fill_values(values: np.ndarray, name: str) -> list[str]:
    """Make infinite and absurdly large values NaN, in place.

    Args:
        values: the volume, float.
        name: what to call it in a message.

    Returns:
        What was changed.

    Raises:
        PolyscanError: no voxel holds a finite value.
    """
    with np.errstate(invalid="ignore"):
        fill = np.abs(values) > _LARGEST
    count = int(fill.sum())
    if count:
        values[fill] = np.nan
    if not np.isfinite(values).any():
        raise PolyscanError(f"{name} holds no finite value; leave it out or export it again.")
    return [f"{count} voxels are infinite or beyond {_LARGEST:g}: taken as not measured"] if count else []


def check_not_empty(values: np.ndarray, name: str) -> None:
    """Refuse a scan whose measured voxels are all 0.

    Raises:
        PolyscanError: they are.
    """
    if not np.nan_to_num(values, nan=0.0).any():
        raise PolyscanError(f"{name} is empty: every voxel is 0; leave it out or export it again.")
