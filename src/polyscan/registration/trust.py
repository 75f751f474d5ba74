"""Whether a registration is right: failure measures, and what decides by them.

The words are those of Skerl, Likar and Pernus (A protocol for evaluation of similarity measures for rigid
registration, IEEE TMI 25, 2006) and Christensen and Johnson (Consistent image registration, IEEE TMI 20, 2001).
"""

from __future__ import annotations

import numpy as np

from polyscan.registration.ascent import ascend
from polyscan.registration.multistart import FINE, MIDDLE, RADIUS, corners
from polyscan.registration.mutual_information import evaluate
from polyscan.registration.poses import Poses
from polyscan.registration.pyramid import Pyramid

_ASIDE = 2.0  # mm, and turns by as much at RADIUS
_RIVAL = 20.0  # mm; a pose further away than this is another answer
# Looked for on one half of the patients of benchmarks/registration_trust.py; docs/preprocessing.md tells how they do on
# the other.
_LEAST_OVERLAP = 0.3
_LEAST_DISTINCTIVENESS = 0.021
_LEAST_PEAK_MARGIN = 0.05
_LARGEST_INCONSISTENCY = 5.0  # mm
_LARGEST_REPEATABILITY_ERROR = 4.0  # mm


def measure(
    fixed: Pyramid,
    moving: Pyramid,
    found: Poses,
    poses: Poses,
    values: np.ndarray,
    seed: int,
    back: Poses | None = None,
    *,
    affine: bool = False,
) -> tuple[dict[str, float], tuple[float, float]]:
    """Failure measures of a result.

    - ``overlap``: the part of the smaller field of view that lies inside the other.
    - ``distinctiveness``: by what part of itself mutual information falls, on average, 2 mm beside the result along and
      about each axis. Scans of one patient share fine structure and lose it at once; those of two patients share
      shapes only, and the wrong optimum of one patient's scans is as flat.
    - ``peak margin``: by what part mutual information of the second peak, a maximum more than 20 mm away, is lower than
      the first at 4 mm, which is 1 - 1 / (peak ratio); 1 where there is none.
    - ``inverse consistency``: greatest distance in mm, over points half-way to the corners, between where a point began
      and where the way there and back takes it.
    - ``repeatability``: greatest distance in mm to the result on other points, followed from 4 mm.

    Args:
        fixed: image whose points were taken.
        moving: the other image.
        found: the result.
        poses: maxima at 4 mm, the highest first.
        values: their mutual information.
        seed: of the points.
        back: what an engine found from moving to fixed; followed at 4 mm if None.
        affine: whether the result is more than a rotation and a shift.

    Returns:
        The measures, and mutual information in nats where the headers put the images and at the result.
    """
    points, centre = corners(fixed.volume), fixed.volume.centre
    volume = moving.level(FINE, smooth=True)
    beside = found.repeated(12).stepped(_ASIDE * np.concatenate([np.eye(6), -np.eye(6)]), centre, RADIUS)
    tried = [Poses.identity(), found, beside]
    at = evaluate(
        fixed.sample_points(FINE, 20_000, seed, smooth=False),
        volume,
        np.concatenate([pose.matrices for pose in tried]),
        np.concatenate([pose.offsets for pose in tried]),
    )
    information = at.information.double().cpu().numpy()
    at_start, at_result = float(information[0]), float(information[1])
    rivals = values[poses.apart(found.repeated(len(poses)), points) > _RIVAL]
    if back is None:
        sample_points = moving.sample_points(MIDDLE, 10_000, seed, smooth=True)
        back, _ = ascend(
            sample_points,
            fixed.level(MIDDLE, smooth=True),
            found.inverse(),
            radius=RADIUS,
            longest=4.0,
            tolerance=0.1,
            limit=15,
            affine=affine,
        )
    others = fixed.sample_points(FINE, 20_000, seed + 1, smooth=False)
    limit = 60 if affine else 20
    again, _ = ascend(others, volume, poses[:1], radius=RADIUS, longest=2.0, tolerance=0.05, limit=limit, affine=affine)
    return {
        "overlap": float(at.overlap[1]),
        "distinctiveness": float(1 - information[2:].mean() / at_result) if at_result > 0 else 0.0,
        "peak margin": float(1 - rivals.max() / values[0]) if len(rivals) and values[0] > 0 else 1.0,
        "inverse consistency": float(back.compose(found).apart(Poses.identity(), points)[0]),
        "repeatability": float(again.apart(found, points)[0]),
    }, (at_start, at_result)


def judge(measures: dict[str, float]) -> tuple[bool, str]:
    """Whether a result is trusted, and why."""
    if measures["overlap"] < _LEAST_OVERLAP:
        return False, f"only {measures['overlap']:.0%} of the smaller field of view lies inside the other"
    if measures["distinctiveness"] < _LEAST_DISTINCTIVENESS:
        return False, (
            f"mutual information falls by {max(measures['distinctiveness'], 0):.1%} only 2 mm beside the result, where "
            f"scans of one patient lose {_LEAST_DISTINCTIVENESS:.1%} or more"
        )
    if measures["peak margin"] < _LEAST_PEAK_MARGIN:
        return False, f"another pose is nearly as good (its mutual information is {measures['peak margin']:.1%} lower)"
    if measures["inverse consistency"] > _LARGEST_INCONSISTENCY:
        return False, f"the way there and back ends {measures['inverse consistency']:.1f} mm from where it began"
    if measures["repeatability"] > _LARGEST_REPEATABILITY_ERROR:
        return False, f"other points of the same images end {measures['repeatability']:.1f} mm away"
    return True, f"mutual information falls by {measures['distinctiveness']:.0%} 2 mm beside the result"
