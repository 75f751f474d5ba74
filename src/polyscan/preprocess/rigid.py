"""Rigid transforms in LPS+ millimetres, as matrices here and as ITK has them elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Rigid:
    """x -> matrix @ x + offset.

    Attributes:
        matrix: (3, 3) rotation.
        offset: (3,) in millimetres.
    """

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Transform (..., 3) points."""
        return points @ self.matrix.T + self.offset

    def after(self, first: Rigid) -> Rigid:
        """This one applied to the result of another."""
        return Rigid(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)

    def inverse(self) -> Rigid:
        """The way back."""
        return Rigid(self.matrix.T, -self.matrix.T @ self.offset)

    def distance(self, other: Rigid, points: np.ndarray) -> float:
        """The greatest distance, in millimetres, between where the two take (point, 3) points."""
        return float(np.linalg.norm(self(points) - other(points), axis=1).max())

    def to_itk(self, centre: np.ndarray) -> sitk.Euler3DTransform:
        """The same about a centre."""
        import SimpleITK as sitk

        transform = sitk.Euler3DTransform()
        transform.SetCenter(centre.tolist())
        transform.SetMatrix(self.matrix.ravel().tolist(), 1e-5)
        transform.SetTranslation((self(centre) - centre).tolist())
        return transform

    @staticmethod
    def of_itk(transform: sitk.Euler3DTransform) -> Rigid:
        """An Euler3DTransform as a matrix."""
        matrix = np.array(transform.GetMatrix()).reshape(3, 3)
        centre = np.array(transform.GetCenter())
        return Rigid(matrix, centre + np.array(transform.GetTranslation()) - matrix @ centre)

    @staticmethod
    def turn(vector: np.ndarray, centre: np.ndarray) -> Rigid:
        """A rotation about a centre by a rotation vector in degrees."""
        from scipy.spatial.transform import Rotation

        matrix = Rotation.from_rotvec(vector, degrees=True).as_matrix()
        return Rigid(matrix, centre - matrix @ centre)


def centre_of(image: sitk.Image) -> np.ndarray:
    """The (3,) centre of an image's grid."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def corners_of(image: sitk.Image) -> np.ndarray:
    """(8, 3) points half-way from the centre of the grid to its corners: about where a head's surface is."""
    size = np.array(image.GetSize())
    index = (size - 1) / 2 + 0.5 * (size - 1) / 2 * (2 * np.indices((2, 2, 2)).reshape(3, -1).T - 1)
    return np.array([image.TransformContinuousIndexToPhysicalPoint(i.tolist()) for i in index])


def placed(image: sitk.Image, there: Rigid) -> sitk.Image:
    """An image whose points are taken elsewhere: no voxel changes, only where the image says that it lies."""
    import SimpleITK as sitk

    moved = sitk.Image(image)
    moved.SetOrigin(there(np.array(image.GetOrigin())).tolist())
    moved.SetDirection((there.matrix @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    return moved
