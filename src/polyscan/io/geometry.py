"""From MONAI's images to ITK's and back: RAS+ affines of (1, x, y, z) tensors, LPS+ directions of ITK images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.data import MetaTensor

if TYPE_CHECKING:
    import SimpleITK as sitk

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS+ to LPS+ and back."""


def to_sitk(image: MetaTensor) -> sitk.Image:
    """Turn a (1, x, y, z) image with a RAS+ affine in millimetres into a SimpleITK image (LPS+).

    Raises:
        ValueError: the affine is sheared or singular, which an ITK image cannot hold.
    """
    import SimpleITK as sitk

    lps = FLIP @ np.asarray(image.affine, dtype=float)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-3):
        raise ValueError("The image's axes are not perpendicular; resample it to a rectangular grid first.")
    out = sitk.GetImageFromArray(np.ascontiguousarray(image[0].cpu().numpy().transpose()))
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    out.SetDirection(direction.ravel().tolist())
    return out


def from_sitk(image: sitk.Image) -> MetaTensor:
    """Turn a 3D SimpleITK image (LPS+) into a (1, x, y, z) MetaTensor with a RAS+ affine in millimetres."""
    import SimpleITK as sitk

    array = np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose())[None]
    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(affine_of(image)))


def affine_of(image: sitk.Image) -> np.ndarray:
    """The (4, 4) matrix from voxel indices to RAS+ millimetres of a 3D SimpleITK image."""
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return FLIP @ lps


def same_grid(a: MetaTensor, b: MetaTensor, *, tolerance: float = 0.1) -> bool:
    """Whether two images have the same shape and no corner of their grids lies more than ``tolerance`` mm apart."""
    if a.shape[-3:] != b.shape[-3:]:
        return False
    last = np.array(a.shape[-3:]) - 1.0
    corners = np.array([[x, y, z, 1.0] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])])
    apart = corners @ (np.asarray(a.affine, dtype=float) - np.asarray(b.affine, dtype=float)).T
    return bool(np.linalg.norm(apart[:, :3], axis=1).max() <= tolerance)


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """The (3,) distances between neighbouring voxels along each axis of a (4, 4) affine."""
    return np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)


def voxels_of(points: np.ndarray, grid: MetaTensor) -> np.ndarray:
    """Continuous (point, 3) voxel coordinates on an image's grid of (point, 3) LPS+ millimetres, as DICOM has them."""
    to_voxel = np.linalg.inv(np.asarray(grid.affine, dtype=float)) @ FLIP
    return points @ to_voxel[:3, :3].T + to_voxel[:3, 3]


def spacing_along(grid: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The (3,) spacings of one grid in the order of another's axes: each axis takes that of the nearest direction.

    Args:
        grid: (4, 4) affine whose spacings are asked for.
        axes: (4, 4) affine whose axes give the order.
    """
    own, other = (np.asarray(affine, dtype=float)[:3, :3] / spacing_of(affine) for affine in (grid, axes))
    return spacing_of(grid)[np.abs(other.T @ own).argmax(1)]
