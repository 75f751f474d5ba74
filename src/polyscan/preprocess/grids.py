"""Which grid scans of several resolutions are brought to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import FLIP, empty_image, matrix_of, spacing_along, spacing_of

FIELDS_OF_VIEW = ("reference", "union", "intersection")


def common_grid(
    images: Mapping[str, MetaTensor],
    reference: str,
    transforms: Mapping[str, sitk.Transform],
    *,
    resolution: str | float | Sequence[float] = "reference",
    field_of_view: str = "reference",
) -> MetaTensor:
    """An empty image on the grid that scans are to share; its axes are those of the reference.

    Args:
        images: modality to (1, x, y, z).
        reference: one of them.
        transforms: modality to its rigid transform from the reference's points to its own (LPS+ millimetres).
        resolution: ``"reference"``; ``"finest"`` or ``"coarsest"``, along each axis the smallest or largest spacing
            that any scan has along it; or millimetres, one number or three.
        field_of_view: of the reference, the box about all scans (``"union"``), or the box that lies in all.

    Returns:
        (1, x, y, z) zeros with the grid's affine; the reference's own where nothing else is asked for.

    Raises:
        PolyscanError: an unknown choice, or scans that have no box in common.
    """
    image = images[reference]
    own = np.asarray(image.affine, dtype=float)
    spacing = _spacing(images, reference, transforms, resolution)
    if field_of_view not in FIELDS_OF_VIEW:
        raise PolyscanError(f"Field of view {field_of_view!r} is not known; use {', '.join(FIELDS_OF_VIEW)}.")
    if field_of_view == "reference" and np.allclose(spacing, spacing_of(own)):
        return empty_image(image.shape[1:], image.affine)
    # Boxes from edge to edge of the voxels, in the reference's axes and millimetres.
    axes = own[:3, :3] / spacing_of(own)
    boxes = {name: _box(images[name], axes, transforms.get(name)) for name in images}
    if field_of_view == "reference":
        low, high = boxes[reference]
    elif field_of_view == "union":
        low, high = np.min([b[0] for b in boxes.values()], 0), np.max([b[1] for b in boxes.values()], 0)
    else:
        low, high = np.max([b[0] for b in boxes.values()], 0), np.min([b[1] for b in boxes.values()], 0)
    kept = np.isclose(spacing, spacing_of(own))
    low, shape = _voxels(low, high, spacing, lattice=boxes[reference][0], kept=kept, choice=field_of_view)
    if (shape < 1).any():
        raise PolyscanError(f"{', '.join(images)} have no field of view in common; use the reference's or the union.")
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ (low + spacing / 2)
    return empty_image(shape.tolist(), affine)


def _voxels(
    low: np.ndarray, high: np.ndarray, spacing: np.ndarray, *, lattice: np.ndarray, kept: np.ndarray, choice: str
) -> tuple[np.ndarray, np.ndarray]:
    """Lower edge and number of the voxels that fill a box: all of a union, and nothing outside an intersection.

    Where the reference keeps its spacing they are its own voxels, which so need no interpolation. Else they lie about
    the middle of the box, so that it does not matter at which end the reference begins.

    Args:
        low: (3,) lower edges of the box.
        high: (3,) upper edges.
        spacing: (3,) of the grid.
        lattice: (3,) an edge of the reference's voxels.
        kept: (3,) bool, where the spacing is the reference's.
        choice: field of view.
    """
    down, up = {
        "union": (np.floor, np.ceil),
        "intersection": (np.ceil, np.floor),
        "reference": (np.rint, np.rint),
    }[choice]
    near = 1e-4 if choice == "union" else -1e-4  # of a voxel: rounding errors of headers
    first, last = down((low - lattice) / spacing + near), up((high - lattice) / spacing - near)
    count = np.where(kept, last - first, up((high - low) / spacing - near))
    middle = (low + high) / 2 - count * spacing / 2
    return np.where(kept, lattice + first * spacing, middle), count.astype(int)


def coarser(image: MetaTensor, factor: int) -> MetaTensor:
    """An empty image (1, x, y, z) over the same field of view with voxels ``factor`` times as large along each axis."""
    affine = image.affine.clone()
    affine[:3, :3] *= factor
    affine[:3, 3] += image.affine[:3, :3].sum(1) * (factor - 1) / 2
    return empty_image([-(-n // factor) for n in image.shape[1:]], affine)


def moved(image: MetaTensor, transform: sitk.Transform | None) -> MetaTensor:
    """An image where its registration puts it, by its affine alone: no voxel is interpolated."""
    if transform is None:
        return image
    out = image.clone()
    out.affine = torch.from_numpy(
        FLIP @ np.linalg.inv(matrix_of(transform)) @ FLIP @ np.asarray(image.affine, dtype=float)
    )
    return out


def _spacing(
    images: Mapping[str, MetaTensor],
    reference: str,
    transforms: Mapping[str, sitk.Transform],
    resolution: str | float | Sequence[float],
) -> np.ndarray:
    own = np.asarray(images[reference].affine, dtype=float)
    if resolution == "reference":
        return spacing_of(own)
    if resolution in ("finest", "coarsest"):
        along = [spacing_along(np.asarray(moved(images[n], transforms.get(n)).affine), own) for n in images]
        return np.min(along, 0) if resolution == "finest" else np.max(along, 0)
    try:
        spacing = np.broadcast_to(np.asarray(resolution, dtype=float), 3)
    except ValueError:
        spacing = np.zeros(3)
    if not (spacing > 0).all():
        raise PolyscanError(f"Resolution {resolution!r} is not known; use reference, finest, coarsest or millimetres.")
    return np.array(spacing)


def _box(image: MetaTensor, axes: np.ndarray, transform: sitk.Transform | None) -> tuple[np.ndarray, np.ndarray]:
    affine = np.asarray(moved(image, transform).affine, dtype=float)
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * np.array(image.shape[1:]) - 0.5
    points = (corners @ affine[:3, :3].T + affine[:3, 3]) @ axes
    return points.min(0), points.max(0)
