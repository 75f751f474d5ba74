"""Mutual information of many poses of many pairs of images, with its gradient and curvature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from polyscan.registration.volume import Volume, trilinear

BINS = 32
_FINE = 256  # bins of the moving image that are counted; B-splines spread them over BINS
_LEAST_OVERLAP = 0.2
_AT_ONCE = 100_000  # points of all poses, so that a CPU keeps them in its cache


@dataclass(frozen=True)
class SamplePoints:
    """Points of a fixed image, about ``centre``, and the bins of its gray levels there.

    Attributes:
        points: (3, point) millimetres from the centre.
        bins: (point,) of the fixed image.
        centre: (3,) millimetres.
        measured: cubic millimetres of the fixed image that are finite.
    """

    points: torch.Tensor
    bins: torch.Tensor
    centre: np.ndarray
    field_of_view: float


def sampled(fixed: Volume, count: int, seed: int = 0) -> SamplePoints:
    """Quasi-random points in the field of view of an image.

    The additive recurrence of the generalised golden ratio (Roberts, The unreasonable effectiveness of quasirandom
    sequences, 2018), shifted by the seed (Cranley and Patterson, SIAM J. Numer. Anal. 13, 1976). Points lie off the
    grid, so that no pose is favoured because it maps voxels onto voxels, and in the order of the voxels.
    """
    ratio = 1.2207440846057596  # x^4 = x + 1
    shift = np.random.default_rng(seed).random(3)
    number = np.arange(1, int(count / max(fixed.finite, 0.05)) + 1)
    last = np.array(fixed.size) - 1.0
    unit = (shift[:, None] + number / ratio ** np.arange(1, 4)[:, None]) % 1.0
    index = unit * last[:, None]
    index = index[:, np.lexsort((index[0], index[1].round(), index[2].round()))]
    values, _ = trilinear(fixed, torch.from_numpy(index.astype(np.float32)).to(fixed.values.device), slopes=False)
    kept = torch.isfinite(values)
    points = fixed.to_point[:, :3] @ index + (fixed.to_point[:, 3] - fixed.centre)[:, None]
    points = torch.from_numpy(points.astype(np.float32)).to(values.device)[:, kept]
    bins = (fixed.gray(values[kept])[0] * BINS).long().clamp_(0, BINS - 1)
    return SamplePoints(points.contiguous(), bins, fixed.centre, fixed.field_of_view)


@dataclass(frozen=True)
class Value:
    """Mutual information of (pose,) poses.

    Attributes:
        information: (pose,) nats; 0 where the images hardly overlap.
        overlap: (pose,) part of the smaller field of view that lies inside the other.
        gradient: (pose, parameter) of it by a step, None where not asked for.
        curvature: (pose, parameter, parameter) mean outer product of the points' scores.
    """

    information: torch.Tensor
    overlap: torch.Tensor
    gradient: torch.Tensor | None = None
    curvature: torch.Tensor | None = None


def evaluate(
    sample_points: SamplePoints,
    moving: Volume,
    matrices: np.ndarray,
    offsets: np.ndarray,
    *,
    radius: float | None = None,
    affine: bool = False,
) -> Value:
    """Mutual information when fixed point x is moving point ``matrix @ x + offset``.

    I = sum p(a, b) log(p(a, b) / (p(a) p(b))) with p a Parzen estimate: box bins for the fixed image, cubic B-splines
    for the moving one (Mattes et al., IEEE TMI 22, 2003). A point's score is the derivative of
    log(p(a, b) / p(b)) at its own values; the curvature is the scores' outer product (Berndt et al., Annals of
    Economic and Social Measurement 3, 1974), since mutual information is a log-likelihood (Roche et al., MICCAI 1999).

    Args:
        sample_points: of the fixed image.
        moving: the other image.
        matrices: (pose, 3, 3).
        offsets: (pose, 3), in millimetres.
        radius: in millimetres, at which a turn of 1 counts as a step of 1 mm; no gradient where not given.
        affine: whether a step has 12 parameters (shift, and matrix row by row) instead of 6 (shift and turn).
    """
    poses, count = len(matrices), sample_points.points.shape[1]
    at_once = max(1, _AT_ONCE // max(count, 1))
    if poses > at_once and sample_points.points.device.type == "cpu":
        parts = (slice(k, k + at_once) for k in range(0, poses, at_once))
        return _concatenate(
            [evaluate(sample_points, moving, matrices[k], offsets[k], radius=radius, affine=affine) for k in parts]
        )
    device = sample_points.points.device
    matrix, index = _moved(sample_points, moving, matrices, offsets)
    values, slopes = trilinear(moving, index, slopes=radius is not None)
    inside = torch.isfinite(values)
    weight = inside.float()
    levels, rate = moving.gray(values.nan_to_num_(0.0))
    fine = (levels * (_FINE - 1) + 0.5).long()
    cell = ((torch.arange(poses, device=device) * BINS)[:, None] + sample_points.bins).view(-1) * _FINE + fine
    counts = torch.zeros(poses * BINS * _FINE, device=device).index_add_(0, cell, weight).view(poses, BINS, _FINE)
    spline, derivative = _splines(device)
    seen = weight.view(poses, count).sum(1)
    joint = counts @ spline / seen.clamp(min=1)[:, None, None]
    tiny = torch.finfo(joint.dtype).tiny
    column = joint.sum(1, keepdim=True)
    ratio = (joint.clamp(min=tiny) / column.clamp(min=tiny)).log()  # log p(a | b), taken off the points' own p(a)
    row = joint.sum(2, keepdim=True)
    information = (joint * (ratio - row.clamp(min=tiny).log())).sum((1, 2))
    overlap = (seen / count / min(1.0, moving.field_of_view / sample_points.field_of_view)).clamp(max=1)
    enough = overlap >= _LEAST_OVERLAP
    information = information * enough
    if slopes is None or radius is None:
        return Value(information, overlap)
    score = (ratio * (joint > 0)) @ derivative.T  # (pose, bin, fine bin)
    score = score.view(-1).index_select(0, cell) * rate * weight
    pull = (slopes.nan_to_num_(0.0) * score).view(3, poses, count).transpose(0, 1)
    pull = matrix.transpose(1, 2) @ pull  # along the fixed image's axes
    by = _by_parameter(pull, sample_points.points / radius, affine)
    share = (enough / seen.clamp(min=1))[:, None]
    return Value(information, overlap, by.sum(2) * share, by @ by.transpose(1, 2) * share[..., None])


def _concatenate(parts: Sequence[Value]) -> Value:
    """The values of some poses behind those of others."""
    gradients = [part.gradient for part in parts if part.gradient is not None]
    curvatures = [part.curvature for part in parts if part.curvature is not None]
    return Value(
        torch.cat([part.information for part in parts]),
        torch.cat([part.overlap for part in parts]),
        torch.cat(gradients) if gradients else None,
        torch.cat(curvatures) if curvatures else None,
    )


def _moved(
    sample_points: SamplePoints, moving: Volume, matrices: np.ndarray, offsets: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """(pose, 3, 3) from steps of the fixed image to voxels of the moving one, and the (3, pose * point) voxels."""
    device, (_, count) = sample_points.points.device, sample_points.points.shape
    to_index = moving.to_index
    offset = (matrices @ sample_points.centre + offsets) @ to_index[:, :3].T + to_index[:, 3]
    matrix = torch.from_numpy((to_index[:, :3] @ matrices).astype(np.float32)).to(device)
    start = torch.from_numpy(offset.astype(np.float32)).to(device)
    index = torch.baddbmm(start[..., None], matrix, sample_points.points.expand(len(matrices), 3, count))
    return matrix, index.transpose(0, 1).reshape(3, -1)


def _by_parameter(pull: torch.Tensor, x: torch.Tensor, affine: bool) -> torch.Tensor:
    """What each point gains by each parameter of a step: shift, then turn or matrix.

    Args:
        pull: (pose, 3, point) what it gains by a shift.
        x: (3, point) where it lies, in units of the radius.
        affine: whether a step has 12 parameters.

    Returns:
        (pose, 6 or 12, point).
    """
    turned = (pull[:, :, None] * x).flatten(1, 2) if affine else torch.linalg.cross(x.expand_as(pull), pull, dim=1)
    return torch.cat([pull, turned], dim=1)


@cache
def _splines(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(fine bin, bin) cubic B-splines at the middle of each fine bin and their derivatives by the gray level."""
    at = 1 + torch.linspace(0, 1, _FINE, dtype=torch.float64)[:, None] * (BINS - 3)  # bins beside the ends for tails
    t = at - torch.arange(BINS, dtype=torch.float64)
    near, sign = t.abs(), t.sign()
    inner, outer = near < 1, (near >= 1) & (near < 2)
    value = inner * (2 / 3 - near**2 + near**3 / 2) + outer * (2 - near) ** 3 / 6
    slope = (inner * (1.5 * near**2 - 2 * near) - outer * (2 - near) ** 2 / 2) * sign * (BINS - 3)
    return value.float().to(device), slope.float().to(device)
