"""How sure an answer is, and where its doubt comes from."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy over the last axis as a part of the largest that is possible: 0 sure, 1 a guess.

    Args:
        probabilities: (..., class), which sum to 1; at least two classes.
    """
    return torch.special.entr(probabilities).sum(-1) / math.log(probabilities.shape[-1])


def split_entropy(samples: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Split the entropy of the mean of samples into what the data leave open and what the network does not know.

    H(E p) = E H(p) + I: the mean entropy is aleatoric, the mutual information of answer and weights, never below 0, is
    epistemic (Houlsby et al., arXiv 1112.5745, 2011; Depeweg et al., ICML 2018).

    Args:
        samples: probabilities (..., class) of one answer, each under another dropout, of another network or of another
            mirror image; one at a time is held, so that they may be maps.

    Returns:
        Aleatoric and epistemic part (...), whose sum is :func:`entropy` of the mean.
    """
    count, mean, aleatoric = 0, torch.tensor(0.0), torch.tensor(0.0)
    for count, p in enumerate(samples, start=1):
        mean = mean + (p - mean) / count
        aleatoric = aleatoric + (entropy(p) - aleatoric) / count
    return aleatoric, (entropy(mean) - aleatoric).clamp_min(0.0)


def soft_dice_confidence(probabilities: Tensor, marked: Tensor) -> Tensor:
    """How sure masks are: 2 sum of p over what is marked / (what is marked + sum of all p).

    Nearly the Dice that a mask has on average where the probabilities are right and voxels independent (Borges, Pacheco
    and Silva, Soft Dice Confidence, arXiv 2402.10665, 2024).

    Args:
        probabilities: (region, ...).
        marked: (region, ...) bool: the masks.

    Returns:
        (region,) from 0 to 1; NaN where nothing is marked.
    """
    p, mask = probabilities.flatten(1).double(), marked.flatten(1)
    sure = 2 * (p * mask).sum(1) / (mask.sum(1) + p.sum(1))
    return torch.where(mask.any(1), sure, math.nan).to(torch.float32)


def conflict(answers: Tensor) -> Tensor:
    """How far answers from different modalities contradict each other: 0 all alike, 1 as far as can be.

    The Jensen-Shannon divergence of all of them (Lin, IEEE Transactions on Information Theory 37, 1991, section IV), as
    a part of its largest value: that of sure answers which the classes share as evenly as so many answers can be.

    Args:
        answers: probabilities (modality, ..., class), each from one modality alone; at least two.
    """
    count, classes = len(answers), answers.shape[-1]
    _, information = split_entropy(answers)
    _, largest = split_entropy(torch.eye(classes)[torch.arange(count) % classes])
    return information / float(largest)
