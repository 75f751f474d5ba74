"""How well regions were segmented."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from monai.data import MetaTensor

from polyscan.study import RegionScore


def region_scores(prediction: MetaTensor, truth: torch.Tensor, regions: Iterable[str]) -> dict[str, RegionScore]:
    """Overlap (Dice, Measures of the amount of ecologic association between species, Ecology 26, 1945) and volumes.

    Args:
        prediction: (region, x, y, z) binary, with its affine in millimetres.
        truth: the same for the truth.
        regions: names of the channels.

    Returns:
        For each region its scores. Dice is None where the truth is empty: there is nothing to overlap with, the
        predicted volume tells what was found in error.
    """
    voxel = _voxel_ml(prediction)
    scores: dict[str, RegionScore] = {}
    for name, p, t in zip(regions, prediction.as_tensor() > 0, torch.as_tensor(truth) > 0, strict=True):
        found, true, both = (float(x.sum()) for x in (p, t, p & t))
        dice = 2 * both / (found + true) if true else None
        scores[name] = RegionScore(dice, found * voxel, true * voxel)
    return scores


def region_volumes(prediction: MetaTensor, regions: Iterable[str]) -> dict[str, float]:
    """Millilitres of each region of (region, x, y, z) binary, with its affine in millimetres."""
    voxel = _voxel_ml(prediction)
    return {
        name: round(float((p > 0).sum()) * voxel, 3) for name, p in zip(regions, prediction.as_tensor(), strict=True)
    }


def _voxel_ml(image: MetaTensor) -> float:
    return abs(float(torch.linalg.det(image.affine[:3, :3]))) / 1000
