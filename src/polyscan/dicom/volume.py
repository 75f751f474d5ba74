"""A stack of slices and where they lie: sorted along their normal, one affine, sheared or uneven stacks resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.geometry import FLIP

SAME_PLACE = 0.01  # millimetres
FINEST, COARSEST = 0.02, 50.0  # millimetres between voxels, of any scan
_LONGEST = 5_000.0  # millimetres: no patient and no couch is longer
_TOLERANCE = 0.05  # millimetres by which slices may lie off a rectangular grid


@dataclass(frozen=True)
class Stack:
    """Where the slices of one volume lie, in DICOM's LPS+ millimetres.

    Attributes:
        order: indices of the slices from the lowest to the highest position along the normal.
        row, column: (3,) unit vectors along a row (x of the image) and along a column (y).
        spacing: millimetres from column to column and from row to row.
        origins: (slice, 3) centre of the first voxel of each slice, in that order.
        thickness: nominal, used where there is one slice only.
    """

    order: list[int]
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    origins: np.ndarray
    thickness: float

    @property
    def normal(self) -> np.ndarray:
        """The (3,) unit vector from slice to slice."""
        return np.cross(self.row, self.column)

    @property
    def depths(self) -> np.ndarray:
        """The (slice,) positions along the normal, rising."""
        return self.origins @ self.normal

    @property
    def step(self) -> float:
        """The usual distance between slices."""
        return float(np.median(np.diff(self.depths))) if len(self.order) > 1 else self.thickness

    @property
    def bridged(self) -> float:
        """The widest gap, in millimetres, that is filled by interpolation: one missing slice, and not two."""
        return max(2.5 * self.step, 2 * self.thickness)

    @property
    def shifts(self) -> np.ndarray:
        """(slice, 2) millimetres by which a slice lies off the first one's axis, along rows and along columns."""
        off = self.origins - self.origins[0]
        return np.stack([off @ self.row, off @ self.column], axis=1)

    def problems(self) -> list[str]:
        """What keeps the slices from forming a rectangular grid."""
        found = []
        steps = np.diff(self.depths)
        if len(steps) and np.ptp(steps) > max(_TOLERANCE, 0.01 * self.step):
            found.append(f"slice steps from {steps.min():.2f} to {steps.max():.2f} mm: resampled to equal steps")
        if len(steps) and steps.max() > self.bridged:
            found.append(f"gaps of more than {self.bridged:.1f} mm between slices: left empty")
        tilt = np.abs(self.shifts[-1]).max() / max(self.depths[-1] - self.depths[0], 1e-6) if len(steps) else 0.0
        if np.abs(self.shifts).max() > _TOLERANCE:
            found.append(
                f"slices are sheared by {np.degrees(np.arctan(tilt)):.1f} degrees: resampled to a straight grid"
            )
        return found

    def affine(self) -> np.ndarray:
        """(4, 4) from (x, y, z) indices to RAS+ millimetres of a rectangular stack."""
        lps = np.eye(4)
        lps[:3, 0] = self.row * self.spacing[0]
        lps[:3, 1] = self.column * self.spacing[1]
        last = self.origins[-1] - self.origins[0]
        lps[:3, 2] = last / (len(self.order) - 1) if len(self.order) > 1 else self.normal * self.thickness
        lps[:3, 3] = self.origins[0]
        return FLIP @ lps


def stack(origins: np.ndarray, orientation: np.ndarray, spacing: tuple[float, float], thickness: float) -> Stack:
    """Sort slices along their normal.

    Args:
        origins: (slice, 3) ImagePositionPatient.
        orientation: (6,) ImageOrientationPatient.
        spacing: between columns and between rows, in millimetres.
        thickness: SliceThickness in millimetres.

    Raises:
        PolyscanError: the orientation is not that of two perpendicular axes, or two slices lie at one position.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm([row, column], axis=1)
    absurd = np.abs(lengths - 1).max() > 0.01 or abs(row @ column) > 0.01
    if absurd or min(spacing) < FINEST or max(spacing) > COARSEST or not 0 < thickness <= 1000:
        raise PolyscanError(
            "ImageOrientationPatient, PixelSpacing or SliceThickness is absurd; export the series again."
        )
    row, column = row / lengths[0], column / lengths[1]
    depths = origins @ np.cross(row, column)
    order = np.argsort(depths, kind="stable")
    steps = np.diff(depths[order])
    if len(steps) and steps.min() < SAME_PLACE:
        same = int((steps < SAME_PLACE).sum()) + 1
        raise PolyscanError(f"{same} of {len(order)} slices lie at one position, which is no volume; split the series.")
    found = Stack([int(i) for i in order], row, column, spacing, origins[order], thickness)
    length = depths.max() - depths.min()
    if np.abs(found.shifts).max() > length or length > _LONGEST or np.abs(origins).max() > _LONGEST:
        raise PolyscanError("ImagePositionPatient is absurd: the slices do not lie over each other; export it again.")
    return found


def resample_to_regular_grid(slices: np.ndarray, where: Stack) -> tuple[np.ndarray, np.ndarray]:
    """Resample sheared or unevenly spaced slices once, linearly, onto a rectangular grid.

    Args:
        slices: (x, y, slice) in the order of the stack.
        where: the stack.

    Returns:
        The volume (x, y, z), NaN where no slice reaches or too many are missing, and its (4, 4) affine to RAS+
        millimetres.
    """
    from scipy.ndimage import map_coordinates

    shifts, depths = where.shifts / np.array(where.spacing), where.depths
    low, shape, step, affine = _straight(where, slices.shape[0], slices.shape[1])
    x, y = (np.arange(a, a + size, dtype=float) for a, size in zip(low, shape, strict=False))
    volume = np.full(shape, np.nan, dtype=np.float32)

    def at(k: int) -> np.ndarray:
        grid = np.meshgrid(x - shifts[k, 0], y - shifts[k, 1], indexing="ij")
        return map_coordinates(slices[:, :, k], grid, order=1, cval=np.nan)

    for z in range(shape[2]):
        depth = depths[0] + z * step
        k = int(np.clip(np.searchsorted(depths, depth, side="right") - 1, 0, len(depths) - 2))
        gap = depths[k + 1] - depths[k]
        weight = (depth - depths[k]) / gap
        if min(weight, 1 - weight) < 1e-6:
            volume[:, :, z] = at(k + round(weight))
        elif gap <= where.bridged:
            volume[:, :, z] = (1 - weight) * at(k) + weight * at(k + 1)
    return volume, affine


def grid_of(where: Stack, columns: int, rows: int) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape (x, y, z) and (4, 4) affine to RAS+ millimetres that a stack is read onto."""
    if not where.problems():
        return (columns, rows, len(where.order)), where.affine()
    _, shape, _, affine = _straight(where, columns, rows)
    return shape, affine


def _straight(where: Stack, columns: int, rows: int) -> tuple[np.ndarray, tuple[int, int, int], float, np.ndarray]:
    """The rectangular grid of a sheared or unevenly spaced stack: first index of x and y, shape, step and affine."""
    shifts, depths = where.shifts / np.array(where.spacing), where.depths
    low, high = np.floor(shifts.min(0)).astype(int), np.ceil(shifts.max(0)).astype(int)
    # The smallest step, within reason, so that no slice is skipped.
    step = max(float(np.diff(depths).min()), where.step / 4)
    count = int(np.floor((depths[-1] - depths[0]) / step + 1e-6)) + 1
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = where.row * where.spacing[0], where.column * where.spacing[1]
    lps[:3, 2] = where.normal * step
    lps[:3, 3] = where.origins[0] + lps[:3, 0] * low[0] + lps[:3, 1] * low[1]
    return low, (int(columns + high[0] - low[0]), int(rows + high[1] - low[1]), count), step, FLIP @ lps
