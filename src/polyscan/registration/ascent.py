"""Many poses uphill together, by second-order steps."""

from __future__ import annotations

import numpy as np

from polyscan.registration.mutual_information import SamplePoints, evaluate
from polyscan.registration.poses import Poses
from polyscan.registration.volume import Volume

_SHORTEST = 0.02  # share of a step


def ascend(
    sample_points: SamplePoints,
    moving: Volume,
    poses: Poses,
    *,
    radius: float,
    longest: float,
    tolerance: float,
    limit: int,
    affine: bool = False,
) -> tuple[Poses, np.ndarray]:
    """Steps of BFGS (Nocedal and Wright, Numerical Optimization, 2006), every pose with its own metric.

    The first metric is the outer product of the points' scores, scaled by the first step's curvature, as
    theirs is. A step that leads down is shortened; a pose that is stuck begins anew once, with the metric of where
    it stands.

    Args:
        sample_points: of the fixed image.
        moving: the other image.
        poses: where to begin.
        radius: in millimetres, at which a turn of 1 counts as a step of 1 mm.
        longest: step in millimetres.
        tolerance: a pose has arrived when its step is shorter, in millimetres.
        limit: of evaluations a pose.
        affine: whether matrices may become more than rotations.

    Returns:
        The poses and their (pose,) mutual information.
    """

    def at(poses: Poses) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = evaluate(sample_points, moving, poses.matrices, poses.offsets, radius=radius, affine=affine)
        assert found.gradient is not None
        assert found.curvature is not None
        return tuple(  # type: ignore[return-value]
            part.double().cpu().numpy() for part in (found.information, found.gradient, found.curvature)
        )

    matrices, offsets = poses.matrices.copy(), poses.offsets.copy()
    value, gradient, curvature = at(poses)
    metric = _inverse(curvature)
    share, steps_since, restarts = np.ones(len(poses)), np.zeros(len(poses), int), np.zeros(len(poses), int)
    active = np.arange(len(poses))
    for _ in range(limit):
        steps = np.einsum("pij,pj->pi", metric[active], gradient[active]) * share[active, None]
        length = np.linalg.norm(steps.reshape(len(active), -1, 3), axis=2).max(1)
        steps *= np.minimum(1.0, longest / np.maximum(length, 1e-12))[:, None]
        tried = Poses(matrices[active], offsets[active]).stepped(steps, sample_points.centre, radius)
        new_value, new_gradient, new_curvature = at(tried)
        up = new_value > value[active]
        bent = gradient[active] - new_gradient
        along = np.einsum("pi,pi->p", steps, bent)
        for n in np.flatnonzero(along > 1e-2 * np.linalg.norm(steps, axis=1) * np.linalg.norm(bent, axis=1)):
            pose = active[n]
            metric[pose] = _updated(metric[pose], steps[n], bent[n], first=steps_since[pose] == 0)
            steps_since[pose] += 1
        won = active[up]
        matrices[won], offsets[won] = tried.matrices[up], tried.offsets[up]
        value[won], gradient[won], curvature[won] = new_value[up], new_gradient[up], new_curvature[up]
        share[active] = np.where(up, 1.0, 0.3 * share[active])
        arrived = (length < tolerance) & (share[active] == 1.0)
        stuck = ~up & ((share[active] < _SHORTEST) | (length < tolerance))
        again = active[stuck & (restarts[active] < 1)]
        metric[again], share[again], steps_since[again] = _inverse(curvature[again]), 1.0, 0
        restarts[again] += 1
        active = active[~arrived & ~(stuck & ~np.isin(active, again))]
        if not len(active):
            break
    return Poses(matrices, offsets), value


def _updated(metric: np.ndarray, step: np.ndarray, bent: np.ndarray, *, first: bool) -> np.ndarray:
    """The metric of a pose after a step, by which its gradient was bent: equation 6.17 there, 6.20 for the first."""
    along = step @ bent
    if first:
        metric = metric * (along / (bent @ metric @ bent))
    left = np.eye(len(step)) - np.outer(step, bent) / along
    return left @ metric @ left.T + np.outer(step, step) / along


def _inverse(curvature: np.ndarray) -> np.ndarray:
    size = curvature.shape[1]
    trace = np.einsum("pii->p", curvature)[:, None, None] / size
    return np.linalg.inv(curvature + (1e-3 * trace + 1e-12) * np.eye(size))
