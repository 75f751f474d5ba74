"""Where the body is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from polyscan.registration.otsu import otsu

_AIR = -500.0  # HU, half-way from air to water
_OUTSHONE = (
    2  # times: in heads of TCGA-LGG it is below 1.5 in 72 of 75, and above 2.4 in three whose scalp outshines the brain
)
_ONE_OUTLINE = 0.99  # of the voxels of either: a head that moved by half a millimetre has less in common
_STRIPPED = (0.02, 0.8)  # of the picture, that a stripped brain or body fills


def foreground(values: np.ndarray, *, unit: str = "arbitrary") -> np.ndarray:
    """The body: the largest connected part brighter than air, without holes.

    Air and body are told apart by -500 HU in CT, otherwise by Otsu's threshold (IEEE SMC 9, 1979) on values up to their
    99th percentile; never by zero, since what was resampled or normalised can be negative inside the body. Where fat
    or contrast outshines all other tissue, that threshold parts tissue from tissue: the one on the square roots of the
    values, which weighs bright ones less, is then passed by more than twice as many voxels, and is taken.

    Args:
        values: 3D array; NaN is outside the field of view and never part of the body.
        unit: ``"HU"``, or any other.

    Returns:
        A bool array of the same shape; everything that was measured where no body is found.
    """
    if values.flags.fnc:  # in the order of the memory
        return foreground(values.T, unit=unit).T
    finite = np.isfinite(values)
    threshold = _threshold(values, finite, unit)
    if threshold is None:
        return finite
    bright = finite & (values > threshold)
    # The body goes on beyond the picture: opening must not eat it from there, least of all where there is one slice.
    bright = ~_eroded(~_eroded(bright)) & finite
    parts, count = ndimage.label(bright)
    if count == 0:
        return finite
    sizes = np.zeros(count + 1, dtype=int)
    for plane in parts:  # bincount makes 64 bits of what it is given
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    number = int(sizes[1:].argmax()) + 1
    box = ndimage.find_objects(parts, number)[number - 1]
    largest = np.zeros_like(finite)
    closed = np.pad(parts[box] == number, 2)
    closed = _eroded(_eroded(~_eroded(_eroded(~closed))))
    largest[box] = ndimage.binary_fill_holes(closed)[2:-2, 2:-2, 2:-2]
    return largest & finite


def same_outline(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two volumes on one grid were cut out with one mask: each is exactly 0 or NaN outside of the same outline.

    So are skull-stripped scans that were registered to each other, as those of BraTS. Scans as they were acquired are
    not: air is noise, or is cut off by a threshold that every contrast meets elsewhere.

    Args:
        first: 3D array.
        second: 3D array of the same shape.
    """

    def inside(values: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.binary_fill_holes(np.nan_to_num(values, nan=0.0) != 0))

    a, b = inside(first), inside(second)
    filled = a.mean(), b.mean()
    if min(filled) < _STRIPPED[0] or max(filled) > _STRIPPED[1]:
        return False
    return bool((a & b).sum() >= _ONE_OUTLINE * (a | b).sum())


def _eroded(mask: np.ndarray) -> np.ndarray:
    """A mask without its voxels that touch one outside of it by a face; beyond the picture all is inside."""
    out = mask.copy()
    for axis in range(3):
        inner, given = np.moveaxis(out, axis, 0), np.moveaxis(mask, axis, 0)
        inner[1:] &= given[:-1]
        inner[:-1] &= given[1:]
    return out


def _threshold(values: np.ndarray, finite: np.ndarray, unit: str) -> float | None:
    """Between air and body, see :func:`foreground`; None where nothing tells them apart."""
    low, high = values.min(where=finite, initial=np.inf), values.max(where=finite, initial=-np.inf)
    if low >= high:
        return None
    if unit == "HU":
        return _AIR
    known = values[finite]
    capped = np.minimum(known, np.percentile(known, 99))
    lowest = capped.min()
    if capped.max() == lowest:
        return None
    threshold, lower = _otsu(capped), _otsu(np.sqrt(capped - lowest)) ** 2 + lowest
    return lower if (capped > lower).sum() > _OUTSHONE * (capped > threshold).sum() else threshold


def _otsu(values: np.ndarray) -> float:
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    return float(centres[otsu(counts, centres)])
