"""Deep supervision: the decoder answers at coarser levels too, while it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.networks.heads import SegmentationHead


@contextmanager
def deep_logits(network: nn.Module) -> Iterator[list[Tensor]]:
    """Note the logits of the coarser decoder levels of a network inside the block, finest first after it."""
    noted: list[Tensor] = []
    heads = [module for module in network.modules() if isinstance(module, SegmentationHead)]
    hooks = [
        head.up[len(head.up) - 2 - k].register_forward_hook(
            lambda _, __, features, last=last: noted.append(last(features))  # type: ignore[misc]
        )
        for head in heads
        for k, last in enumerate(head.deep)
    ]
    try:
        yield noted
    finally:
        noted.sort(key=lambda logits: -logits[0, 0].numel())
        for hook in hooks:
            hook.remove()


def deep_losses(logits: list[Tensor], target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """The losses of coarser levels, each half the weight of the one above (Isensee et al., Nature Methods 2021).

    A voxel of a coarser level is of a region by as much as its part that is.

    Args:
        logits: (batch, region, *coarse) of each level, finest first.
        target: (batch, region, *spatial) of 0 or 1.
        loss: the supervised one, ``loss(logits, target)``.

    Returns:
        ``deep.<level>`` to its weighted loss; level 1 is the first below the finest.
    """
    losses = {}
    for k, each in enumerate(logits, start=1):
        coarse = functional.interpolate(target.as_subclass(Tensor), size=each.shape[2:], mode="area")  # type: ignore[arg-type]
        losses[f"deep.{k}"] = 0.5**k * torch.as_tensor(loss(each, coarse)).mean()
    return losses
