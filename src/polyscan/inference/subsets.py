"""What the answer would be with fewer modalities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from polyscan.networks import FusionModel
from polyscan.networks.cached_features import CachedFeatures


@torch.inference_mode()
def every_subset(network: FusionModel, image: Any, inputs: Sequence[Tensor] = ()) -> dict[tuple[str, ...], Tensor]:
    """Logits from every subset of the modalities that are there; what stands before the fusion runs once.

    Args:
        network: in evaluation mode.
        image: what the network takes first, such as (1, modality, *spatial): one study; NaN where absent.
        inputs: what the network takes behind the image.

    Returns:
        Names to logits, as ``network`` gives them with the others absent: single modalities first, all that are there
        last.

    Raises:
        ValueError: the image holds more than one study.
    """
    cached = CachedFeatures.of(network, image, inputs)
    if len(cached.available) != 1:
        raise ValueError(f"image holds {len(cached.available)} studies; give one, since each has subsets of its own.")
    present = cached.available[0].nonzero().flatten().tolist()
    subsets = [subset for size in range(1, len(present) + 1) for subset in combinations(present, size)]
    available = torch.zeros(len(subsets), len(network.modalities), dtype=torch.bool, device=cached.available.device)
    for row, subset in zip(available, subsets, strict=True):
        row[list(subset)] = True
    names = [tuple(network.modalities[m] for m in subset) for subset in subsets]
    return dict(zip(names, cached.subsets(available).split(1), strict=True))
