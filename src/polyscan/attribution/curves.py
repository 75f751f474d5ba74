"""Whether a map marks what the answer rests on: the answer as marked voxels are taken away, or put in first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""A number (1,) for an image (1, channel, *spatial), such as the probability of a class."""


def deletion_curve(score: Score, image: Tensor, maps: Tensor, steps: int = 20, seed: int = 0) -> Tensor:
    """The score as voxels are emptied, those first that a map ranks highest: it falls soon where the map is right.

    Petsiuk et al., RISE, BMVC 2018: deletion. Voxels of all modalities are ranked together, and emptied to 0, which a
    network of polyscan reads where nothing was measured.

    Args:
        score: what is watched.
        image: (1, channel, *spatial), NaN where nothing was measured; that stays.
        maps: (1, modality, *spatial); a modality may have several channels.
        steps: equal parts of the measured voxels.
        seed: of the order among voxels that the map ranks alike.

    Returns:
        (steps + 1,) scores, the first of the whole image.
    """
    return _curve(score, image, maps, steps, seed, put_in=False)


def insertion_curve(score: Score, image: Tensor, maps: Tensor, steps: int = 20, seed: int = 0) -> Tensor:
    """The score as voxels are put into an empty image, highest first: it rises soon where the map is right.

    See :func:`deletion_curve`; the last score is of the whole image.
    """
    return _curve(score, image, maps, steps, seed, put_in=True)


def area_under_curve(curve: Tensor) -> float:
    """By the trapezoidal rule over the part of the voxels, 0 to 1."""
    return float(torch.trapezoid(curve, dx=1 / (len(curve) - 1)))


def _curve(score: Score, image: Tensor, maps: Tensor, steps: int, seed: int, *, put_in: bool) -> Tensor:
    modalities = maps.shape[1]
    each = image.unflatten(1, (modalities, -1))  # (1, modality, channel, *spatial)
    finite = each.isfinite().any(2).flatten()
    candidates = finite.nonzero().flatten()
    candidates = candidates[torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))]
    ranked = candidates[maps.flatten()[candidates].argsort(descending=True, stable=True)]
    kept = finite if not put_in else torch.zeros_like(finite)
    scores = []
    for step in range(steps + 1):
        chosen = kept.clone()
        chosen[ranked[: round(len(ranked) * step / steps)]] = put_in
        shown = chosen.unflatten(0, maps.shape).unsqueeze(2)
        scores.append(score((each * shown).flatten(1, 2)))
    return torch.cat(scores)
