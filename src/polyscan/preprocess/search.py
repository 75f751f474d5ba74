"""Find where mutual information is highest: many poses at low resolution, then the best ones at higher ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from polyscan.preprocess.mask import foreground
from polyscan.preprocess.rigid import Rigid, centre_of, corners_of
from polyscan.preprocess.similarity import MutualInformation, shrink

if TYPE_CHECKING:
    import SimpleITK as sitk

_COARSE = 8.0  # mm that the images are shrunk to at first
_STARTED, _FOLLOWED = 12, 3  # poses that are improved together at the coarse and at the middle level
_SAME = 10.0  # mm; poses that lie nearer than this are one
_RADIUS = 80.0  # mm at which a rotation moves points as far as a translation of the same number


def search(
    fixed: sitk.Image, moving: sitk.Image, middle: MutualInformation, seed: int = 0
) -> list[tuple[Rigid, float]]:
    """Poses at which mutual information has a maximum at 4 mm, the highest first, with it.

    Starts are the headers' own alignment and that of the centres of the foreground, each turned by the 24 rotations
    that multiples of 90 degrees make, and by 20 and 45 degrees either way about each axis. The best at 8 mm are
    improved together, and the best of those at 4 mm.

    Args:
        fixed: 3D image in millimetres; NaN is outside the field of view.
        moving: another one.
        middle: of the two at 4 mm.
        seed: of the points.
    """
    still, moved, points, centre = shrink(fixed, _COARSE), shrink(moving, _COARSE), corners_of(fixed), centre_of(fixed)
    coarse = MutualInformation(still, moved, samples=3000, seed=seed)
    starts = [pose for pose, _ in _best_apart(coarse, _starts(still, moved), points)[:_STARTED]]
    poses = _ascend(coarse, starts, centre, steps=40, first=3.0, batch=len(coarse), seed=seed)
    poses = [pose for pose, _ in _best_apart(coarse, poses, points)[:_FOLLOWED]]
    return _best_apart(middle, _ascend(middle, poses, centre, steps=40, first=1.0, batch=5000, seed=seed), points)


def _ascend(
    similarity: MutualInformation,
    poses: Sequence[Rigid],
    centre: np.ndarray,
    *,
    steps: int,
    first: float,
    batch: int,
    seed: int,
) -> list[Rigid]:
    """All poses uphill together, by Adam (Kingma and Ba, ICLR 2015) on other points at every step.

    The last third of the way is averaged (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992), so that the result
    rests on more points than any step.

    Args:
        similarity: what to climb.
        poses: where to begin.
        centre: (3,) of rotation.
        steps: how many.
        first: length of the first step in millimetres; the last is a twentieth of it.
        batch: points of a step.
        seed: of the points.
    """
    generator = torch.Generator().manual_seed(seed)
    way = torch.zeros(len(poses), 6, requires_grad=True)
    optimizer = torch.optim.Adam([way], lr=first, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=first / 20)
    passed = []
    for _ in range(steps):
        everything = batch >= len(similarity)
        chosen = slice(None) if everything else torch.randint(len(similarity), (batch,), generator=generator)
        optimizer.zero_grad()
        (-similarity(*_posed(poses, way, centre), chosen)[0].sum()).backward()
        optimizer.step()
        schedule.step()
        passed.append(way.detach().clone())
    mean = torch.stack(passed[-(steps // 3) :]).mean(0)
    return [_rigid(matrix, offset) for matrix, offset in zip(*_posed(poses, mean, centre), strict=True)]


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[Rigid]:
    from scipy.spatial.transform import Rotation

    turned = Rotation.create_group("O").as_rotvec(degrees=True)
    vectors = [*turned, *(angle * axis for axis in np.eye(3) for angle in (-45.0, -20.0, 20.0, 45.0))]
    goals = [(centre_of(fixed), centre_of(fixed)), (_mass_centre(fixed), _mass_centre(moving))]
    starts = []
    for pivot, goal in goals:
        there = Rigid(np.eye(3), goal - pivot)
        starts += [there.after(Rigid.turn(vector, pivot)) for vector in vectors]
    return starts


def _best_apart(similarity: MutualInformation, poses: Sequence[Rigid], points: np.ndarray) -> list[tuple[Rigid, float]]:
    """The poses from the best down with their mutual information, no two of them the same."""
    with torch.no_grad():
        values = similarity(*stacked(poses))[0].numpy()
    kept: list[tuple[Rigid, float]] = []
    for k in np.argsort(-values, kind="stable"):
        if all(poses[k].distance(other, points) > _SAME for other, _ in kept):
            kept.append((poses[k], float(values[k])))
    return kept


def _posed(poses: Sequence[Rigid], steps: torch.Tensor, centre: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(pose, 3, 3) and (pose, 3): each pose after a turn and a shift of (pose, 6) millimetres about a centre."""
    matrices, offsets = stacked(poses)
    x, y, z = (steps[:, :3] / _RADIUS).unbind(1)
    zero = torch.zeros_like(x)
    turns = torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3))
    about = torch.tensor(centre, dtype=torch.float32)
    shifts = about - turns @ about + steps[:, 3:]
    return matrices @ turns, (matrices @ shifts[..., None])[..., 0] + offsets


def stacked(poses: Sequence[Rigid]) -> tuple[torch.Tensor, torch.Tensor]:
    """(pose, 3, 3) matrices and (pose, 3) offsets."""
    matrices, offsets = np.stack([p.matrix for p in poses]), np.stack([p.offset for p in poses])
    return torch.tensor(matrices, dtype=torch.float32), torch.tensor(offsets, dtype=torch.float32)


def _rigid(matrix: torch.Tensor, offset: torch.Tensor) -> Rigid:
    """As double precision, with the rotation made exact again."""
    u, _, v = np.linalg.svd(matrix.detach().double().numpy())
    return Rigid(u @ v, offset.detach().double().numpy())


def _mass_centre(image: sitk.Image) -> np.ndarray:
    """The centre of the foreground, each voxel of it counted alike."""
    import SimpleITK as sitk

    inside = np.argwhere(foreground(sitk.GetArrayFromImage(image)))
    return np.array(image.TransformContinuousIndexToPhysicalPoint(inside.mean(0)[::-1].tolist()))
