"""RTSTRUCT contours to a mask on an image's grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.geometry import voxels_of


def read_rtstruct(path: str | Path, grid: MetaTensor, roi: str | None = None) -> MetaTensor:
    """Fill the closed contours of a region: a voxel belongs to it when its centre lies inside an odd number of them.

    Args:
        path: the RTSTRUCT file.
        grid: the image (1, x, y, z) that it was drawn on, slice by slice of its z axis.
        roi: the region's name; may be left out where there is one only.

    Returns:
        (1, x, y, z) uint8 on the image's grid.

    Raises:
        PolyscanError: no such region, several without a name, or contours that do not lie in the image's slices.
    """
    import pydicom

    name = Path(path).name
    try:
        data = pydicom.dcmread(path)
        names = {int(item.ROINumber): str(item.ROIName) for item in data.StructureSetROISequence}
        contours = {int(item.ReferencedROINumber): item for item in data.ROIContourSequence}
    except Exception as error:
        raise PolyscanError(f"{name} cannot be read as RTSTRUCT ({type(error).__name__}); export it again.") from error
    chosen = [number for number, text in names.items() if number in contours and roi in (None, text)]
    if len(chosen) != 1:
        raise PolyscanError(
            f"{name} has the regions {', '.join(names.values())}; expected {roi or 'one'}: name it as label 'roi'."
        )
    mask = np.zeros(grid.shape[1:], dtype=bool)
    for contour in contours[chosen[0]].ContourSequence:
        if contour.ContourGeometricType != "CLOSED_PLANAR":
            continue
        voxels = voxels_of(np.array(contour.ContourData, dtype=float).reshape(-1, 3), grid)
        if np.ptp(voxels[:, 2]) > 0.5 or abs(voxels[0, 2] - np.rint(voxels[0, 2])) > 0.5:
            raise PolyscanError(f"{name} was not drawn in the slices of the scan that it belongs to; check the label.")
        _fill(mask, voxels)
    if not mask.any():
        raise PolyscanError(f"{name} does not touch the scan that it belongs to; check which scan it was drawn on.")
    return MetaTensor(torch.from_numpy(mask[None].astype(np.uint8)), affine=grid.affine)


def _fill(mask: np.ndarray, voxels: np.ndarray) -> None:
    """Turn over the voxels whose centres lie inside one contour, given in voxel coordinates."""
    from matplotlib.path import Path as Polygon

    z = int(np.rint(voxels[:, 2].mean()))
    low = np.maximum(np.floor(voxels[:, :2].min(0)).astype(int), 0)
    high = np.minimum(np.ceil(voxels[:, :2].max(0)).astype(int) + 1, mask.shape[:2])
    if not 0 <= z < mask.shape[2] or (low >= high).any():
        return
    x, y = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    inside = Polygon(voxels[:, :2]).contains_points(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    mask[low[0] : high[0], low[1] : high[1], z] ^= inside
