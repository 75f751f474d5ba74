"""Three planes through a study, as a radiologist sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from monai.data import MetaTensor

# Plane, its axis, the axes along the picture's width and height, and the letters at left, right, top and bottom. By
# radiological convention the patient's right is on the left; sagittal planes face left.
_PLANES = (
    ("axial", 2, 0, 1, "RLAP"),
    ("coronal", 1, 0, 2, "RLSI"),
    ("sagittal", 0, 1, 2, "APSI"),
)


@dataclass(frozen=True)
class Plane:
    """One plane of a grid.

    Attributes:
        name: axial, coronal or sagittal.
        letters: what lies to the left, right, top and bottom.
        points: (row, column, 3) LPS+ millimetres of its pixels.
        aspect: height of a pixel by its width.
    """

    name: str
    letters: str
    index: int
    axes: tuple[int, int, int]
    flips: tuple[bool, bool]
    points: np.ndarray
    aspect: float

    def cut(self, values: np.ndarray) -> np.ndarray:
        """The (row, column) picture of an (x, y, z) array on the grid."""
        picture = np.moveaxis(values, self.axes, (0, 2, 1))[self.index]
        picture = picture[::-1] if self.flips[0] else picture
        return picture[:, ::-1] if self.flips[1] else picture


def planes(grid: MetaTensor, centre: np.ndarray) -> list[Plane]:
    """The three planes through a voxel of a grid, whatever the order and direction of its axes.

    Args:
        grid: (1, x, y, z) with a RAS+ affine.
        centre: (3,) voxel indices.
    """
    affine = np.asarray(grid.affine, dtype=float)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = _axes(affine[:3, :3] / spacing)
    index = np.indices(grid.shape[1:])
    made = []
    for name, normal, width, height, letters in _PLANES:
        axes = along[normal], along[width], along[height]
        # Width runs to the patient's left, or from front to back; rows run from the top, which is front or head.
        right_to_left = affine[width, axes[1]] > 0
        upwards = affine[height, axes[2]] > 0
        plane = Plane(
            name,
            letters,
            int(centre[axes[0]]),
            axes,
            (upwards, right_to_left),
            np.empty(0),
            spacing[axes[2]] / spacing[axes[1]],
        )
        voxels = np.stack([plane.cut(i) for i in index], axis=-1)
        points = (voxels @ affine[:3, :3].T + affine[:3, 3]) * [-1, -1, 1]
        made.append(Plane(name, letters, plane.index, axes, plane.flips, points, plane.aspect))
    return made


def _axes(directions: np.ndarray) -> list[int]:
    """Which array axis runs most along each of right-left, front-back and foot-head."""
    from scipy.optimize import linear_sum_assignment

    _, axes = linear_sum_assignment(-np.abs(directions))
    return [int(axis) for axis in axes]
