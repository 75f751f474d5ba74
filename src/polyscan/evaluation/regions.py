"""How well regions were segmented."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from monai.data import MetaTensor

from polyscan.evaluation.surfaces import surface_scores
from polyscan.geometry import spacing_of, voxel_ml
from polyscan.study import RegionScore


def region_scores(prediction: MetaTensor, truth: torch.Tensor, regions: Iterable[str]) -> dict[str, RegionScore]:
    """Overlap, see :func:`dice`, surfaces, see :func:`polyscan.evaluation.surface_scores`, and volumes.

    Args:
        prediction: (region, x, y, z) binary, with its affine in millimetres.
        truth: the same for the truth.
        regions: names of the channels.

    Returns:
        For each region its scores. Dice and surface Dice are None where the truth is empty: there is nothing to overlap
        with, the predicted volume tells what was found in error. Where only the prediction is empty both are 0; the
        distance is None where either is.
    """
    voxel, spacing = voxel_ml(prediction.affine), spacing_of(prediction.affine).tolist()
    scores: dict[str, RegionScore] = {}
    for name, p, t in zip(regions, prediction.as_tensor() > 0, torch.as_tensor(truth) > 0, strict=True):
        found, true = int(p.sum()), int(t.sum())
        distance, agreement = surface_scores(p, t, spacing)
        scores[name] = RegionScore(
            dice(p, t) if true else None,
            found * voxel,
            true * voxel,
            hd95_mm=distance if found and true else None,
            surface_dice=agreement if true else None,
        )
    return scores


def region_volumes(prediction: MetaTensor, regions: Iterable[str]) -> dict[str, float]:
    """Millilitres of each region of (region, x, y, z) binary, with its affine in millimetres."""
    voxel = voxel_ml(prediction.affine)
    return {
        name: round(float((p > 0).sum()) * voxel, 3) for name, p in zip(regions, prediction.as_tensor(), strict=True)
    }


def dice(found: Any, true: Any) -> float:
    """Overlap (Dice, Measures of the amount of ecologic association between species, Ecology 26, 1945) of two masks.

    Args:
        found: bool, an array or a tensor.
        true: bool, of the same shape.

    Returns:
        0 to 1; NaN where both are empty.
    """
    size = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / size if size else float("nan")
