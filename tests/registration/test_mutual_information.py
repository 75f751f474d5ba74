"""Mutual information is what its definition says, and so are its gradient and the way up."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from polyscan.registration.ascent import ascend
from polyscan.registration.mutual_information import evaluate, sampled
from polyscan.registration.poses import Poses, rotations
from polyscan.registration.volume import Volume

POINTS = np.array(np.meshgrid(*[(-15.0, 15.0)] * 3)).reshape(3, -1).T


def volume(values) -> Volume:
    last = np.array(values.shape[::-1]) - 1.0
    return Volume.of(torch.from_numpy(values.astype(np.float32)), np.column_stack([np.eye(3), -last / 2]))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    base = sum(gaussian_filter(rng.normal(size=(40, 44, 48)), width) * width**1.5 for width in (2, 5))
    return volume(base), volume(np.cos(2 * base))


def test_as_much_as_an_image_tells_about_itself():
    """With box bins the information of an image about itself is its entropy; splines blur it by about a bin."""
    values = np.random.default_rng(1).random((30, 30, 30))
    image, other = volume(values), volume(np.random.default_rng(2).random((30, 30, 30)))
    sample_points = sampled(image, 20_000)
    here = Poses.identity()
    itself = float(evaluate(sample_points, image, here.matrices, here.offsets).information)
    shares = np.bincount(sample_points.bins.numpy(), minlength=32) / len(sample_points.bins)
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert 0.6 * entropy < itself < entropy
    assert float(evaluate(sample_points, other, here.matrices, here.offsets).information) < 0.05


def test_the_joint_histogram_by_hand(images):
    """The same from NumPy: cubic splines at every point, no fine bins."""
    fixed, moving = images
    sample_points, shift = sampled(fixed, 4000), np.array([[1.3, -0.7, 0.4]])
    found = float(evaluate(sample_points, moving, np.eye(3)[None], shift).information)
    from polyscan.registration.volume import trilinear

    index = moving.to_index @ np.vstack(
        [
            sample_points.points.numpy() + (sample_points.centre + shift[0])[:, None],
            np.ones(sample_points.points.shape[1]),
        ]
    )
    values, _ = trilinear(moving, torch.from_numpy(index.astype(np.float32)))
    kept = torch.isfinite(values)
    at = 1 + moving.gray(values[kept])[0].numpy() * 29
    near = np.abs(at[:, None] - np.arange(32))
    spline = np.where(near < 1, 2 / 3 - near**2 + near**3 / 2, np.clip(2 - near, 0, None) ** 3 / 6)
    joint = np.zeros((32, 32))
    np.add.at(joint, sample_points.bins[kept].numpy(), spline)
    joint /= joint.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0)
    expected = (joint[joint > 0] * np.log(joint[joint > 0] / product[joint > 0])).sum()
    assert found == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("affine", [False, True])
def test_gradient(images, affine):
    fixed, moving = images
    sample_points = sampled(fixed, 200_000)
    start = Poses.identity().stepped(np.array([[1.5, -1.0, 0.5, 1.0, 2.0, -1.5]]), sample_points.centre, 30.0)
    at = evaluate(sample_points, moving, start.matrices, start.offsets, radius=30.0, affine=affine)
    size = 12 if affine else 6
    steps = 0.3 * np.eye(size)
    ahead, behind = (start.repeated(size).stepped(s * steps, sample_points.centre, 30.0) for s in (1, -1))
    values = [evaluate(sample_points, moving, p.matrices, p.offsets).information.numpy() for p in (ahead, behind)]
    slope = (values[0] - values[1]) / 0.6
    assert np.abs(at.gradient[0].numpy() - slope).max() < 0.1 * np.abs(slope).max()
    assert (torch.linalg.eigvalsh(at.curvature[0]) > -1e-6).all()


def test_many_poses_are_as_one_alone(images):
    """Whether or not they are split to fit a cache."""
    fixed, moving = images
    sample_points = sampled(fixed, 20_000)
    shifts = np.random.default_rng(4).normal(size=(12, 3))
    every = evaluate(sample_points, moving, np.eye(3)[None].repeat(12, 0), shifts, radius=30.0)
    for n in (0, 7, 11):
        alone = evaluate(sample_points, moving, np.eye(3)[None], shifts[n : n + 1], radius=30.0)
        assert torch.allclose(every.information[n], alone.information[0], atol=1e-5)
        assert torch.allclose(every.gradient[n], alone.gradient[0], atol=1e-5)


def test_points_are_where_the_image_is_finite():
    values = np.random.default_rng(5).random((20, 20, 20))
    values[:, :, :10] = np.nan
    sample_points = sampled(volume(values), 5000)
    assert 3500 < sample_points.points.shape[1] < 6000
    assert sample_points.points[0].min() > 0


def test_the_way_up(images):
    fixed, moving = images
    sample_points = sampled(fixed, 20_000)
    away = np.random.default_rng(6).uniform(-2.0, 2.0, size=(4, 6))
    truth = Poses(rotations(np.radians([[5.0, -3.0, 4.0]])), np.array([[3.0, -2.0, 1.0]]))
    moved = Volume(
        moving.values,
        np.column_stack(
            [
                truth.matrices[0] @ moving.to_point[:, :3],
                truth.matrices[0] @ moving.to_point[:, 3] + truth.offsets[0],
            ]
        ),
        moving.table,
        moving.span,
        moving.finite,
    )
    start = truth.repeated(4).stepped(away, sample_points.centre, 20.0)
    found, values = ascend(sample_points, moved, start, radius=20.0, longest=3.0, tolerance=0.01, limit=40)
    assert found.apart(truth.repeated(4), POINTS).max() < 0.3
    assert values.std() < 0.01
