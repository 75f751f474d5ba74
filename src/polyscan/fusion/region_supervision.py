"""Region supervision: what a map of region logits is taught where a paper trains one inside its network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def exclusive_regions(target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Turn regions that may hold each other into regions that exclude each other, the background first.

    Args:
        target: (batch, region, *spatial) of 0 or 1, a region before those that it holds (whole tumour, core, enhancing
            tumour); NaN where unknown.
        count: regions that there are to be, the background included.

    Returns:
        (batch, count, *spatial) one-hot: a voxel is of the last region that holds it, or background; and
        (batch, *spatial) bool: where all of the target is known.

    Raises:
        ValueError: the target has ``count`` regions or more.
    """
    if target.shape[1] >= count:
        raise ValueError(
            f"the target has {target.shape[1]} regions and the layer {count} with the background; "
            f"make it with regions={target.shape[1] + 1} or more."
        )
    known = torch.isfinite(target).all(1)
    inside = target > 0.5
    order = torch.arange(1, target.shape[1] + 1, device=target.device)
    index = (inside * order.reshape([-1] + [1] * (target.dim() - 2))).amax(1)
    return functional.one_hot(index, count).movedim(-1, 1).to(target.dtype), known


def region_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy weighted against frequent regions, and soft Dice (Ding et al., RFNet, ICCV 2021).

    -mean over voxels v of (1 - s_k(v)) log p_k(v) + 1 - mean over k of 2 sum p_k t_k / sum (p_k + t_k), k(v) the region
    of v, s_k the share of region k in the batch, and p no less than 0.005 under the logarithm, as published.

    Args:
        logits: (batch, region, *spatial).
        target: of the same shape, one-hot.
        known: (batch, *spatial) bool; other voxels count for nothing.

    Returns:
        One number; 0 where nothing is known.
    """
    log_share = torch.log_softmax(logits.movedim(1, -1)[known].float(), dim=1)
    one_hot = target.movedim(1, -1)[known].float()
    if len(one_hot) == 0:
        return logits.sum() * 0
    frequency = one_hot.mean(0)
    entropy = -((1 - frequency) * one_hot * log_share.clamp(min=math.log(0.005))).sum(1).mean()
    share = log_share.exp()
    overlap = 2 * (share * one_hot).sum(0) / (share.sum(0) + one_hot.sum(0) + 1e-7)
    return entropy + 1 - overlap.mean()


def supervise(logits: Tensor, target: Tensor | None) -> Tensor:
    """:func:`region_loss` of logits (batch, region, *spatial) against regions as a layer is given them.

    Returns:
        One number; 0 where there is no target on the grid of the logits, as for the classes of a whole study.
    """
    if target is None or target.dim() != logits.dim() or target.shape[2:] != logits.shape[2:]:
        return logits.sum() * 0
    return region_loss(logits, *exclusive_regions(target, logits.shape[1]))


def supervise_each(head: nn.Module, features: Tensor, available: Tensor, target: Tensor | None) -> Tensor:
    """Sum over modalities of :func:`supervise` of each alone, by one head for all, in the rows that have it.

    Args:
        head: (batch, channel, *spatial) to logits (batch, region, *spatial).
        features: (batch, modality, channel, *spatial).
        available: (batch, modality) bool.
        target: (batch, region, *spatial), or None.
    """
    total = features.new_zeros(())
    for m in range(features.shape[1]):
        rows = available[:, m]
        total = total + supervise(head(features[rows, m]), None if target is None else target[rows])
    return total
