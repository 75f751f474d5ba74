"""Scans of one study in one picture: in colour over each other, as channels of colour, as a checkerboard."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import image_of, same_grid
from polyscan.report.display import colour_map, window

_FIELDS = 8  # of a checkerboard along its longest axis


def scaled(name: str, values: np.ndarray) -> np.ndarray:
    """A scan through its window, from 0 to 1; 0 where nothing was scanned.

    Args:
        name: the scan's key, which tells the window.
        values: of any shape.
    """
    low, high = window(name, values)
    return np.nan_to_num(np.clip((values - low) / (high - low), 0, 1))


def overlay(scans: dict[str, np.ndarray]) -> np.ndarray:
    """The second scan in colour over the first in its own: the higher its value, the less is seen of the first.

    Args:
        scans: two, (x, y, z) each.

    Returns:
        (x, y, z, 3) from 0 to 1.
    """
    (below, first), (above, second) = scans.items()
    under = colour_map(below)[np.round(scaled(below, first) * 255).astype(int)] / 255
    value = scaled(above, second)
    alpha = np.clip(1.5 * value, 0, 0.8)[..., None]
    return (1 - alpha) * under + alpha * colormaps["inferno"](value)[..., :3]


def composite(scans: dict[str, np.ndarray]) -> np.ndarray:
    """Two or three scans as red, green and blue: (x, y, z, 3) from 0 to 1; blue is 0 where there are two."""
    channels = [scaled(name, values) for name, values in scans.items()]
    return np.stack([*channels, np.zeros_like(channels[0])][:3], axis=-1)


def checkerboard(scans: dict[str, np.ndarray]) -> np.ndarray:
    """Two scans in fields that alternate along every axis: (x, y, z, 3) from 0 to 1."""
    one, other = (scaled(name, values) for name, values in scans.items())
    field = max(2, max(one.shape) // _FIELDS)
    own = sum(np.indices(one.shape) // field) % 2 == 0
    return np.repeat(np.where(own, one, other)[..., None], 3, axis=-1)


def surgical_map(ct: MetaTensor, mr: MetaTensor, bone: float = 300.0) -> MetaTensor:
    """The bone of a CT and the soft tissue of an MR in one volume of whole numbers.

    0: nothing is known; 1 to 1000: the MR from its 1st to its 99.5th percentile; above 1000: bone, 1000 and its HU over
    the threshold, at most 3000. So bone is seen with a window above 1000, soft tissue with one from 0 to 1000.

    Args:
        ct: (1, x, y, z) in HU.
        mr: on the same grid.
        bone: HU from which a voxel is bone.

    Raises:
        PolyscanError: the two lie on different grids.
    """
    if not same_grid(ct, mr):
        raise PolyscanError("The CT and the MR lie on different grids; prepare them with a protocol that resamples.")
    hu, soft = ct[0].numpy(), mr[0].numpy()
    known = np.isfinite(soft)
    low, high = np.percentile(soft[known], [1, 99.5]) if known.any() else (0.0, 1.0)
    levels = 1 + np.round(999 * np.clip((soft - low) / max(high - low, 1e-6), 0, 1))
    joint = np.where(hu >= bone, 1000 + np.round(np.clip(hu - bone, 1, 2000)), np.where(known, levels, 0))
    return image_of(joint.astype(np.int16), ct.affine)
