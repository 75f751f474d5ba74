"""RTSTRUCT contours to a mask on an image's grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom import Dataset

from polyscan.dicom.attributes import items, text, words
from polyscan.errors import PolyscanError
from polyscan.files.packed import open_binary
from polyscan.geometry import image_of, voxels_of

if TYPE_CHECKING:
    from monai.data import MetaTensor
# Voxels by which centres are moved, so that none lies on a line, where inside and outside are a matter of rounding, and
# both lines of a keyhole's channel have it on one side.
_ASIDE = (1e-6, 0.7e-6)
_ASTRAY = 0.2  # of the way from slice to slice: more is no rounding
_BETWEEN = (
    "{} has contours that lie {:.2g} of a step away from the slices, and each slice took the nearest: check that it "
    "was drawn on this scan"
)
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def read_rtstruct(path: str | Path, grid: MetaTensor, roi: str | None = None) -> MetaTensor:
    """Fill the closed contours of a region: a voxel belongs to it when its centre lies inside, and in no hole.

    A slice takes the contours that lie nearest to it; slices between contours that were drawn in every second or third
    one take those of the nearest. Where the image was resampled, since its slices lie at unequal steps, each of its
    planes takes the contours of the nearest slice.

    Args:
        path: the RTSTRUCT file.
        grid: the image (1, x, y, z) that it was drawn on, slice by slice of its z axis, or of ``meta["slices"]``.
        roi: the region's name; may be left out where one only has closed contours.

    Returns:
        (1, x, y, z) uint8 on the image's grid; ``meta["doubts"]`` says where contours lie between slices.

    Raises:
        PolyscanError: no such region, one without contours, several without a name, or contours that do not lie in the
            image's slices.
    """
    name = Path(path).name
    try:
        with open_binary(Path(path)) as file:
            data = pydicom.dcmread(file)
        names = {int(item.ROINumber): str(item.ROIName).strip() for item in data.StructureSetROISequence}
        contours = {int(item.ReferencedROINumber): items(item, "ContourSequence") for item in data.ROIContourSequence}
    except Exception as error:
        raise PolyscanError(f"{name} cannot be read as RTSTRUCT ({type(error).__name__}); export it again.") from error
    region = _region(name, names, contours, roi)
    mask = np.zeros(grid.shape[1:], dtype=bool)
    drawn: dict[float, list[tuple[str, np.ndarray]]] = defaultdict(list)  # by the place along z
    for contour in contours[region]:
        kind = text(contour, "ContourGeometricType")
        if kind in _CLOSED and len(points := _points(contour, name)) > 2:
            voxels = voxels_of(points, grid)
            if np.ptp(voxels[:, 2]) > 0.5:
                raise PolyscanError(
                    f"{name} was not drawn in the slices of the scan that it belongs to; check the label."
                )
            drawn[round(float(voxels[:, 2].mean()), 2)].append((kind, voxels))
    if not drawn:
        raise PolyscanError(
            f"{name} has no closed contour in its region {region}, only points or open lines; draw it again."
        )
    filled = {z: _fill(mask.shape[:2], contours_at) for z, contours_at in drawn.items()}
    slices = np.asarray(grid.meta.get("slices", range(mask.shape[2])), dtype=float)
    of_slice = _nearest_contours(sorted(filled), slices)
    away = np.median([np.abs(slices - place).min() for place in of_slice.values()]) if of_slice else 0.0
    for z, k in enumerate(np.abs(slices - np.arange(mask.shape[2])[:, None]).argmin(1)):
        if k in of_slice:
            mask[:, :, z] = filled[of_slice[k]]
    if not mask.any():
        raise PolyscanError(f"{name} does not touch the scan that it belongs to; check which scan it was drawn on.")
    doubts = [_BETWEEN.format(name, away)] if away > _ASTRAY else []
    return image_of(mask.astype(np.uint8), grid.affine, {"doubts": doubts})


def _nearest_contours(places: list[float], slices: np.ndarray) -> dict[int, float]:
    """Slice to the place of the contours that stand for it.

    Args:
        places: where contours lie along z, rising.
        slices: where slices lie.
    """
    reach = np.diff(slices, prepend=slices[0] - 1, append=slices[-1] + 1) / 2  # half of the way to the next slices
    found: dict[int, float] = {}
    for place in places:
        k = int(np.abs(slices - place).argmin())
        within = -reach[k] <= place - slices[k] <= reach[k + 1]
        if within and (k not in found or abs(place - slices[k]) < abs(found[k] - slices[k])):
            found[k] = place
    own = sorted(found)
    steps = np.diff(own)
    usual = int(np.median(steps)) if len(steps) > 1 else 1
    for one, other in pairwise(own):
        if 1 < usual == other - one:  # drawn in every second slice, or third
            found |= {k: found[one if k - one <= other - k else other] for k in range(one + 1, other)}
    return found


def _region(name: str, names: dict[int, str], contours: dict[int, list[Dataset]], roi: str | None) -> int:
    """The number of the one region that is meant, which has contours."""
    drawn = [number for number in names if contours.get(number)]
    wanted = [number for number, text in names.items() if roi == text]
    if roi is not None and not wanted:
        wanted = [n for n, text in names.items() if roi.strip().lower() in (text.lower(), str(n))]
    closed = [n for n in drawn if any(text(contour, "ContourGeometricType") in _CLOSED for contour in contours[n])]
    chosen = (closed or drawn) if roi is None else [number for number in wanted if number in drawn]
    if len(chosen) == 1:
        return chosen[0]
    if not drawn and names:
        which = f"the region {roi or next(iter(names))} has" if len(names) == 1 or roi else "its regions have"
        raise PolyscanError(f"{name}: {which} no contours; draw it or export it again.")
    if wanted and not chosen:
        raise PolyscanError(f"{name}: the region {roi} has no contours; draw it or name another as label 'roi'.")
    raise PolyscanError(
        f"{name} has the regions {', '.join(map(str, drawn)) or 'none'} by ROINumber; expected {roi or 'one'}: give "
        "its number, or its ROIName, as label 'roi'."
    )


def _points(contour: Dataset, name: str) -> np.ndarray:
    """The (point, 3) of a contour in LPS+ millimetres."""
    try:
        points = np.array([float(value) for value in words(contour, "ContourData")]).reshape(-1, 3)
    except ValueError:
        points = np.full((1, 3), np.nan)
    if len(points) == 0 or not np.isfinite(points).all():
        raise PolyscanError(f"{name} has a ContourData (3006,0050) that is no list of points; export it again.")
    return points


def _fill(shape: Sequence[int], drawn: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """(x, y) voxels of one slice whose centres lie inside its contours.

    CLOSEDPLANAR_XOR contours cut each other out, whatever their order (DICOM PS3.3 C.8.8.6.3). CLOSED_PLANAR ones are
    joined, but for one that lies within what is there already: so are holes drawn in practice. One that was written
    twice counts once.
    """
    filled = np.zeros(shape, dtype=bool)
    distinct = {(kind, voxels.round(3).tobytes()): (kind, voxels) for kind, voxels in drawn}.values()
    for kind, voxels in sorted(distinct, key=lambda each: -_area(each[1])):
        inside = _inside(shape, voxels)
        if kind != "CLOSED_PLANAR" or filled[inside].all():
            filled ^= inside
        else:
            filled |= inside
    return filled


def _area(voxels: np.ndarray) -> float:
    x, y = voxels[:, 0], voxels[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _inside(shape: Sequence[int], voxels: np.ndarray) -> np.ndarray:
    """(x, y) voxels whose centres lie inside one contour by the even-odd rule, so that a keyhole cuts its hole out."""
    from matplotlib.path import Path as Polygon

    out = np.zeros(shape, dtype=bool)
    low = np.maximum(np.floor(voxels[:, :2].min(0)).astype(int), 0)
    high = np.minimum(np.ceil(voxels[:, :2].max(0)).astype(int) + 1, shape)
    if (low >= high).any():
        return out
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    inside = Polygon(voxels[:, :2]).contains_points(np.stack([x.ravel(), y.ravel()], axis=1) + _ASIDE)
    out[low[0] : high[0], low[1] : high[1]] = inside.reshape(x.shape)
    return out
