"""Surfaces against what is known of cubes, and against distance transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from polyscan.evaluation import region_scores, surface_scores


def cube(start):
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[start : start + 5, 3:8, 4:9] = True
    return mask


def by_distance_transforms(found, true, spacing, tolerance):
    edges = [mask & ~binary_erosion(mask) for mask in (found, true)]
    distances = [distance_transform_edt(~other, sampling=spacing)[one] for one, other in (edges, reversed(edges))]
    within = np.concatenate(distances) <= tolerance
    return max(np.percentile(each, 95) for each in distances), within.mean()


@pytest.mark.parametrize(("step", "surface_dice"), [(3.0, 73 / 98), (2.0, 1.0)])
def test_a_cube_moved_by_a_voxel_of_an_oblique_grid(step, surface_dice):
    """Of its 98 voxels the 25 that it moved away from lie a step off; the other end lies within 2 mm of the sides."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, 30, 40), degrees=True).as_matrix() @ np.diag([step, 1, 1])
    prediction = MetaTensor(cube(2)[None], affine=torch.from_numpy(affine).float())
    score = region_scores(prediction, cube(3)[None], ["lesion"])["lesion"]
    assert score.hd95_mm == pytest.approx(step)
    assert score.surface_dice == pytest.approx(surface_dice)


def test_equal_masks_and_empty_ones():
    mask, none = cube(0), torch.zeros(12, 12, 12, dtype=torch.bool)
    assert surface_scores(mask, mask, (1, 2.5, 3)) == (0, 1)
    for found, true in ((mask, none), (none, mask)):
        distance, surface_dice = surface_scores(found, true, (1, 1, 1))
        assert np.isnan(distance)
        assert surface_dice == 0
    assert np.isnan(surface_scores(none, none, (1, 1, 1))).all()
    truth, prediction = (torch.stack(masks) for masks in ((none, mask, none), (mask, none, none)))
    scores = region_scores(MetaTensor(prediction), truth, ["error", "missed", "neither"])
    assert [(each.hd95_mm, each.surface_dice) for each in scores.values()] == [(None, None), (None, 0), (None, None)]


@pytest.mark.parametrize("seed", range(3))
def test_blobs_have_the_surfaces_that_distance_transforms_find(seed):
    """Blobs touch the edge of the image; one has a piece far from the other."""
    rng = np.random.default_rng(seed)
    found, true = (gaussian_filter(rng.normal(size=(30, 24, 20)), 2) > 0.03 for _ in range(2))
    found[:10], true[:12] = False, False
    found[1:3, 1:3, 1:3] = True
    spacing = (0.83, 1.71, 2.57)
    expected = by_distance_transforms(found, true, spacing, tolerance=2)
    assert 0.3 < expected[1] < 0.99
    assert surface_scores(torch.from_numpy(found), torch.from_numpy(true), spacing) == pytest.approx(expected, rel=1e-5)
