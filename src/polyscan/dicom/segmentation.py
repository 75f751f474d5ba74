"""DICOM Segmentation objects to a mask on an image's grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom

from polyscan.dicom.attributes import items, number, numbers, text
from polyscan.dicom.slices import Slice, slices_of
from polyscan.errors import PolyscanError
from polyscan.files.packed import open_binary
from polyscan.geometry import image_of, voxels_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

SOP_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segments, label map


def read_segmentation(path: str | Path, grid: MetaTensor, segment: str | None = None) -> MetaTensor:
    """Read the segments of a DICOM SEG: binary, fractional (from one half) or label map.

    Args:
        path: the SEG file.
        grid: the image (1, x, y, z) that it was drawn on.
        segment: the SegmentLabel of the one that is wanted, which becomes 1; every voxel has its segment's number, the
            higher one where segments overlap, where not given.

    Returns:
        (1, x, y, z) uint8 or, where numbers exceed 255, int32, on the image's grid.

    Raises:
        PolyscanError: it cannot be read, has no such segment, or its pixels are not voxels of the image.
    """
    name = Path(path).name
    try:
        with open_binary(Path(path)) as file:
            data = pydicom.dcmread(file)
        pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
        frames = slices_of(Path(path), data)
    except PolyscanError as error:
        raise PolyscanError(f"{name} {error}.") from error
    except Exception as error:
        raise PolyscanError(f"{name} cannot be read as DICOM SEG ({type(error).__name__}); export it again.") from error
    labels = {
        int(number(item, "SegmentNumber") or 0): text(item, "SegmentLabel") for item in items(data, "SegmentSequence")
    }
    wanted = {key for key, label in labels.items() if segment in (None, label, str(key))}
    if not wanted:
        raise PolyscanError(
            f"{name} has the segments {', '.join(map(str, labels)) or 'none'} by SegmentNumber; expected "
            f"{segment or 'one'}: give its number, or its SegmentLabel, as label 'roi'."
        )
    mask = np.zeros(grid.shape[1:], dtype=np.int32)
    half = (number(data, "MaximumFractionalValue") or 1) / 2
    is_map = text(data, "SegmentationType") == "LABELMAP"
    for frame in frames:
        plane = pixels[frame.frame]
        values = plane.astype(np.int32) if is_map else (plane >= half) * np.int32(_segment_of(frame, name))
        rows, columns = np.nonzero(np.isin(values, list(wanted)))
        place = tuple(_voxels(frame, rows, columns, grid, name).T)
        mask[place] = np.maximum(mask[place], values[rows, columns] if segment is None else 1)
    return image_of(mask.astype(np.uint8 if mask.max() < 256 else np.int32), grid.affine)


def _segment_of(frame: Slice, name: str) -> int:
    found = number(frame.header, "ReferencedSegmentNumber")
    if not found:
        raise PolyscanError(f"{name} does not tell which segment a frame belongs to; export it again.")
    return int(found)


def _voxels(frame: Slice, rows: np.ndarray, columns: np.ndarray, grid: MetaTensor, name: str) -> np.ndarray:
    """(pixel, 3) indices on the grid of pixels of a frame."""
    origin, spacing = numbers(frame.header, "ImagePositionPatient", 3), numbers(frame.header, "PixelSpacing", 2)
    direction = numbers(frame.header, "ImageOrientationPatient", 6)
    if origin is None or spacing is None or direction is None:
        raise PolyscanError(f"{name} does not tell where its frames lie; export it again.")
    points = origin + np.outer(columns * spacing[1], direction[:3]) + np.outer(rows * spacing[0], direction[3:])
    exact = voxels_of(points, grid)
    voxels = np.rint(exact).astype(int)
    if len(voxels) and (
        np.abs(exact - voxels).max() > 0.1 or voxels.min() < 0 or (voxels >= np.array(grid.shape[1:])).any()
    ):
        raise PolyscanError(
            f"{name} has another grid than the scan that it belongs to; check which one it was drawn on."
        )
    return voxels
