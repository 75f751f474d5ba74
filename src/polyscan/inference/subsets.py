"""What the answer would be with fewer modalities."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from polyscan.networks.fusion_net import FusionNet, on_grid


@torch.inference_mode()
def every_subset(network: FusionNet, image: Tensor) -> dict[tuple[str, ...], Tensor]:
    """Answer from every subset of the modalities that are there; what stands before the fusion runs once.

    Args:
        network: in evaluation mode.
        image: (1, modality, *spatial), one study; NaN where absent.

    Returns:
        Names to logits, as ``network`` gives them with the others absent: single modalities first, all that are there
        last.

    Raises:
        ValueError: the image holds more than one study.
    """
    if len(image) != 1:
        raise ValueError(f"image holds {len(image)} studies; give one, since each has subsets of its own.")
    features, available = network.encode(image)
    there = [m for m in range(available.shape[1]) if available[0, m]]
    answers = {}
    for size in range(1, len(there) + 1):
        for subset in combinations(there, size):
            chosen = torch.zeros_like(available)
            chosen[0, list(subset)] = True
            logits = network.answer(network.embed(features, chosen), chosen)
            answers[tuple(network.modalities[m] for m in subset)] = on_grid(logits, image)
    return answers
