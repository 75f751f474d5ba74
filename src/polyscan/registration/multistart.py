"""Find where mutual information is highest: many poses at low resolution, then the best ones at higher ones."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from polyscan.registration.ascent import ascend
from polyscan.registration.mutual_information import evaluate
from polyscan.registration.poses import Poses, rotations
from polyscan.registration.pyramid import Pyramid
from polyscan.registration.volume import Volume

COARSE, MIDDLE, FINE, FINEST = 8.0, 4.0, 2.0, 1.0
"""Resolutions in millimetres."""
RADIUS = 80.0
"""Millimetres at which a rotation moves points as far as a translation of the same number."""
_COMPARED, _STEPPED, _FOLLOWED = 1500, 2500, 10_000  # points: of all starts, of the best, of the best of those
_STARTED, _KEPT = 12, 3  # poses that are improved at the coarse and at the middle level
_SAME = 10.0  # mm; poses that lie nearer than this are one
_ASIDE = 40.0  # mm between centres where a part of either image is missing


def multistart(fixed: Pyramid, moving: Pyramid, seed: int = 0) -> tuple[Poses, np.ndarray]:
    """Poses at which mutual information has a maximum at 4 mm, the highest first, with it.

    Starts are the headers' own alignment, that of the grids' centres and that of the centres of what is bright, the
    last also 40 mm aside along each axis, each turned by the 24 rotations that multiples of 90 degrees make and by 20
    and 45 degrees either way about each axis. The best at 8 mm are improved together, and the best of those at 4 mm.

    Args:
        fixed: image whose points are taken.
        moving: the other image.
        seed: of the points.
    """
    points, poses = corners(fixed.volume), _starts(fixed, moving)
    coarse = moving.level(COARSE, smooth=True)
    few = fixed.sample_points(COARSE, _COMPARED, seed, smooth=True)
    values = evaluate(few, coarse, poses.matrices, poses.offsets).information.cpu().numpy()
    poses = poses[apart(poses, values, points, _STARTED)]
    sample_points = fixed.sample_points(COARSE, _STEPPED, seed, smooth=True)
    poses, values = ascend(sample_points, coarse, poses, radius=RADIUS, longest=15.0, tolerance=1.0, limit=15)
    poses = poses[apart(poses, values, points, _KEPT)]
    sample_points, middle = fixed.sample_points(MIDDLE, _FOLLOWED, seed, smooth=True), moving.level(MIDDLE, smooth=True)
    poses, values = ascend(sample_points, middle, poses, radius=RADIUS, longest=8.0, tolerance=0.1, limit=25)
    best = apart(poses, values, points, _KEPT)
    return poses[best], values[best]


def refine(fixed: Pyramid, moving: Pyramid, start: Poses, seed: int = 0, *, affine: bool = False) -> Poses:
    """Follow one pose from 4 mm to 2 mm, and to voxels as fine as those of the image whose points are taken."""
    poses = start
    if affine:
        sample_points, volume = (
            fixed.sample_points(MIDDLE, _FOLLOWED, seed, smooth=True),
            moving.level(MIDDLE, smooth=True),
        )
        poses, _ = ascend(
            sample_points, volume, poses, radius=RADIUS, longest=4.0, tolerance=0.1, limit=40, affine=True
        )
    finest = float(np.clip(fixed.volume.spacing.min(), FINEST, FINE))
    for spacing, count in ((FINE, 20_000), (finest, 100_000)):
        sample_points = fixed.sample_points(spacing, count, seed, smooth=False)
        volume = moving.level(spacing, smooth=True)
        poses, _ = ascend(
            sample_points, volume, poses, radius=RADIUS, longest=2.0, tolerance=0.03, limit=20, affine=affine
        )
    return poses


def corners(volume: Volume) -> np.ndarray:
    """(8, 3) points half-way from the centre of the grid to its corners: about where a head's surface is."""
    index = np.array(list(itertools.product((0.25, 0.75), repeat=3))) * (np.array(volume.size) - 1)
    return np.column_stack([index, np.ones(8)]) @ volume.to_point.T


def apart(poses: Poses, values: np.ndarray, points: np.ndarray, most: int) -> list[int]:
    """Which poses are the best ``most``, from the best down, no two the same at the points."""
    moved = poses(points)
    left = np.argsort(-values, kind="stable")
    kept: list[int] = []
    while len(left) and len(kept) < most:
        kept.append(int(left[0]))
        left = left[np.linalg.norm(moved[left] - moved[left[0]], axis=2).max(1) > _SAME]
    return kept


def _starts(fixed: Pyramid, moving: Pyramid) -> Poses:
    turns = _start_rotations()
    centre, bright = fixed.volume.centre, fixed.mass_centre(COARSE)
    goal = moving.mass_centre(COARSE)
    goals = [(centre, centre), (centre, moving.volume.centre), (bright, goal)]
    goals += [(bright, goal + sign * _ASIDE * axis) for axis in np.eye(3) for sign in (-1, 1)]
    return Poses(np.concatenate([turns] * len(goals)), np.concatenate([to - turns @ pivot for pivot, to in goals]))


@cache
def _start_rotations() -> np.ndarray:
    """(36, 3, 3): the rotation group of the cube, and tilts by 20 and 45 degrees."""
    cube = [
        np.eye(3)[list(order)] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    tilts = [np.radians(angle) * axis for axis in np.eye(3) for angle in (-45.0, -20.0, 20.0, 45.0)]
    return np.concatenate([[rotation for rotation in cube if np.linalg.det(rotation) > 0], rotations(np.array(tilts))])
