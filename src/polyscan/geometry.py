"""From MONAI's images to ITK's and back: RAS+ affines of (1, x, y, z) tensors, LPS+ directions of ITK images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from polyscan.errors import PolyscanError

if TYPE_CHECKING:
    import SimpleITK as sitk
    from monai.data import MetaTensor
    from torch import Tensor

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS+ to LPS+ and back."""
TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
"""From the full width at half maximum of a Gaussian to its standard deviation."""


def to_sitk(image: MetaTensor) -> sitk.Image:
    """Turn a (1, x, y, z) image with a RAS+ affine in millimetres into a SimpleITK image (LPS+).

    Raises:
        PolyscanError: the affine is sheared or singular, which an ITK image cannot hold.
    """
    import SimpleITK as sitk

    lps = FLIP @ np.asarray(image.affine, dtype=float)
    check_rectangular(lps)
    spacing = spacing_of(lps)
    direction = lps[:3, :3] / spacing
    out = sitk.GetImageFromArray(np.ascontiguousarray(image[0].cpu().numpy().transpose()))
    out.SetSpacing(spacing.tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    out.SetDirection(direction.ravel().tolist())
    return out


def image_of(values: np.ndarray, affine: np.ndarray | Tensor, meta: dict[str, Any] | None = None) -> MetaTensor:
    """(x, y, z) values with their (4, 4) affine as an image (1, x, y, z); nothing is copied."""
    import torch
    from monai.data import MetaTensor

    return MetaTensor(torch.from_numpy(values[None]), affine=torch.as_tensor(affine), meta=meta)


def empty_image(shape: Sequence[int], affine: ArrayLike) -> MetaTensor:
    """A grid of (x, y, z) voxels with its (4, 4) affine as an image (1, x, y, z) of zeros, which take no memory."""
    import torch
    from monai.data import MetaTensor

    return MetaTensor(
        torch.zeros(1, dtype=torch.uint8).expand(1, *shape), affine=torch.as_tensor(np.array(affine, dtype=float))
    )


def from_sitk(image: sitk.Image) -> MetaTensor:
    """Turn a 3D SimpleITK image (LPS+) into a (1, x, y, z) MetaTensor with a RAS+ affine in millimetres."""
    import SimpleITK as sitk

    return image_of(np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose()), affine_of(image))


def affine_of(image: sitk.Image) -> np.ndarray:
    """The (4, 4) matrix from voxel indices to RAS+ millimetres of a 3D SimpleITK image."""
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return FLIP @ lps


def matrix_of(transform: sitk.Transform) -> np.ndarray:
    """The (4, 4) matrix of a rigid or affine SimpleITK transform, on LPS+ millimetres."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - matrix[:3, 3]
    return matrix


def same_grid(a: MetaTensor, b: MetaTensor, *, tolerance: float = 0.1) -> bool:
    """Whether two images have the same shape and no corner of their grids lies more than ``tolerance`` mm apart."""
    if a.shape[-3:] != b.shape[-3:]:
        return False
    apart = corners(np.asarray(a.affine, dtype=float), a.shape[-3:]) - corners(
        np.asarray(b.affine, dtype=float), a.shape[-3:]
    )
    return bool(np.linalg.norm(apart, axis=1).max() <= tolerance)


def in_axes_of(image: MetaTensor, other: MetaTensor) -> MetaTensor:
    """The same voxels (1, x, y, z) in the same places, their axes in the order and direction nearest to another's."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

    own, affine = io_orientation(np.asarray(image.affine)), np.asarray(image.affine, dtype=float)
    change = ornt_transform(own, io_orientation(np.asarray(other.affine)))
    values = np.ascontiguousarray(apply_orientation(image[0].numpy(), change))
    return image_of(values, affine @ inv_ornt_aff(change, image.shape[-3:]))


def is_rectangular(affine: np.ndarray) -> bool:
    """Whether the axes of a (4, 4) affine are perpendicular, as ITK asks."""
    direction = np.asarray(affine, dtype=float)[:3, :3] / spacing_of(affine)
    return bool(np.allclose(direction.T @ direction, np.eye(3), atol=1e-3))


def check_rectangular(affine: np.ndarray) -> None:
    """Refuse a (4, 4) affine whose axes are not perpendicular, which ITK cannot hold.

    Raises:
        PolyscanError: it is one.
    """
    if not is_rectangular(affine):
        raise PolyscanError("The image's axes are not perpendicular; resample it to a rectangular grid first.")


def corners(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The (8, 3) points in space of the corner voxels of a grid of a (4, 4) affine."""
    last = [(0.0, float(size - 1)) for size in list(shape)[:3]]
    return np.array(list(product(*last))) @ affine[:3, :3].T + affine[:3, 3]


def rectangular(values: np.ndarray, affine: np.ndarray, *, nearest: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Resample a sheared volume once onto the rectangular grid whose axes lie nearest to its own.

    The directions are the orthogonal factor of the polar decomposition of the affine's (Higham, SIAM J. Sci. Stat.
    Comput. 7, 1986), the spacings its own, the extent what holds all of it.

    Args:
        values: (x, y, z).
        affine: (4, 4) to millimetres.
        nearest: take the nearest voxel, and 0 outside, as for masks; otherwise interpolate linearly, with NaN outside.

    Returns:
        The volume (x, y, z) and its (4, 4) affine.
    """
    from scipy.linalg import polar
    from scipy.ndimage import affine_transform

    spacing = spacing_of(affine)
    direction, _ = polar(affine[:3, :3] / spacing)
    within = corners(affine, values.shape) @ direction / spacing  # in voxels along the new axes
    low = np.floor(within.min(0) + 1e-6)
    shape = tuple((np.ceil(within.max(0) - 1e-6) - low).astype(int) + 1)
    grid = np.eye(4)
    grid[:3, :3] = direction * spacing
    grid[:3, 3] = grid[:3, :3] @ low
    to_old = np.linalg.inv(affine) @ grid
    order, outside = (0, 0.0) if nearest else (1, np.nan)
    moved = affine_transform(values, to_old[:3, :3], to_old[:3, 3], shape, order=order, cval=outside, prefilter=False)
    return moved, grid


def spacing_of(affine: ArrayLike) -> np.ndarray:
    """The (3,) distances between neighbouring voxels along each axis of a (4, 4) affine."""
    return np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)


def voxel_ml(affine: ArrayLike) -> float:
    """The volume of a voxel of a (4, 4) affine in millilitres."""
    return abs(float(np.linalg.det(np.asarray(affine, dtype=float)[:3, :3]))) / 1000


def connected_components(mask: np.ndarray) -> np.ndarray:
    """Number the connected components (26 neighbours) of a mask (x, y, z) bool: 1 and up inside of each, 0 outside."""
    from scipy.ndimage import generate_binary_structure, label

    return np.asarray(label(mask, generate_binary_structure(3, 3))[0])


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
