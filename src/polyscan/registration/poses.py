"""Several transforms of points in LPS+ millimetres at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True)
class Poses:
    """Transforms from fixed to moving points, x -> matrix @ x + offset.

    Attributes:
        matrices: (pose, 3, 3).
        offsets: (pose, 3), in millimetres.
    """

    matrices: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def identity() -> Poses:
        """One that leaves every point where it is."""
        return Poses(np.eye(3)[None], np.zeros((1, 3)))

    def __len__(self) -> int:
        return len(self.matrices)

    def __getitem__(self, chosen: np.ndarray | slice | list[int]) -> Poses:
        return Poses(self.matrices[chosen], self.offsets[chosen])

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(pose, point, 3) of (point, 3) points."""
        return points @ self.matrices.transpose(0, 2, 1) + self.offsets[:, None]

    def inverse(self) -> Poses:
        """The ways back."""
        back = np.linalg.inv(self.matrices)
        return Poses(back, -np.einsum("pij,pj->pi", back, self.offsets))

    def compose(self, first: Poses) -> Poses:
        """These applied to the results of others."""
        return Poses(
            self.matrices @ first.matrices,
            np.einsum("pij,pj->pi", self.matrices, first.offsets) + self.offsets,
        )

    def repeated(self, times: int) -> Poses:
        """Each ``times`` times in a row."""
        return Poses(self.matrices.repeat(times, axis=0), self.offsets.repeat(times, axis=0))

    def apart(self, other: Poses, points: np.ndarray) -> np.ndarray:
        """(pose,) greatest distances in millimetres between where the two take (point, 3) points."""
        return np.linalg.norm(self(points) - other(points), axis=2).max(1)

    def stepped(self, steps: np.ndarray, centre: np.ndarray, radius: float) -> Poses:
        """Each pose after a step of the fixed points.

        Args:
            steps: (pose, 6) shift and turn, or (pose, 12) shift and matrix row by row, in millimetres at ``radius``.
            centre: (3,) that turns leave where it is.
            radius: in millimetres.
        """
        if steps.shape[1] == 6:
            rotation = rotations(steps[:, 3:] / radius)
        else:
            rotation = np.eye(3) + steps[:, 3:].reshape(-1, 3, 3) / radius
        return self.compose(Poses(rotation, centre - rotation @ centre + steps[:, :3]))

    def to_itk(self, centre: np.ndarray, *, affine: bool = False) -> sitk.Transform:
        """The first one, about a centre."""
        transform: sitk.Transform
        if affine:
            transform = sitk.AffineTransform(3)
            transform.SetMatrix(self.matrices[0].ravel().tolist())
        else:
            transform = sitk.Euler3DTransform()
            u, _, v = np.linalg.svd(self.matrices[0])  # a rotation to the last digit, as ITK wants it
            transform.SetMatrix((u @ v).ravel().tolist(), 1e-5)
        transform.SetCenter(centre.tolist())
        transform.SetTranslation((self(centre[None])[0, 0] - centre).tolist())
        return transform

    @staticmethod
    def of_itk(transform: sitk.Transform) -> Poses:
        """One of an ITK transform that is affine."""
        origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
        columns = [np.array(transform.TransformPoint(axis.tolist())) - origin for axis in np.eye(3)]
        return Poses(np.stack(columns, axis=1)[None], origin[None])


def rotations(vectors: np.ndarray) -> np.ndarray:
    """(n, 3, 3) rotation matrices of (n, 3) vectors in radians (Rodrigues)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross


def placed(image: sitk.Image, pose: Poses) -> sitk.Image:
    """An image whose points are taken elsewhere by a rotation: no voxel changes, only where the image says it lies."""
    moved = sitk.Image(image)
    moved.SetOrigin(pose(np.array([image.GetOrigin()]))[0, 0].tolist())
    moved.SetDirection((pose.matrices[0] @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    return moved


def centre_of(image: sitk.Image) -> np.ndarray:
    """The (3,) centre of an image's grid."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
