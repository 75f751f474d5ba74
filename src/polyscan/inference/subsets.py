"""What the answer would be with fewer modalities."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from polyscan.inference.once import Once
from polyscan.networks.fusion_net import FusionNet


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
    ask = Once(network, image)
    there = [m for m in range(len(network.modalities)) if ask.available[0, m]]
    answers = {}
    for size in range(1, len(there) + 1):
        for subset in combinations(there, size):
            chosen = torch.zeros_like(ask.available)
            chosen[0, list(subset)] = True
            answers[tuple(network.modalities[m] for m in subset)] = ask(chosen)
    return answers
