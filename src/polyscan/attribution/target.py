"""The one number that a map explains."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The logit of a class; of a segmentation, the mean logit of a region over the voxels that were predicted.

    Logits, not probabilities: a softmax or sigmoid that is sure has next to no gradient, and a class would be explained
    by what speaks against the others (Simonyan et al., arXiv 1312.6034, on saliency by class).

    Attributes:
        channel: of the logits.
        weights: (*spatial) of each voxel, which sum to at most 1; None where logits have no voxels.
    """

    channel: int
    weights: Tensor | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Turn logits (batch, channel, *spatial) into (batch,)."""
        of_channel = logits[:, self.channel]
        return of_channel if self.weights is None else (of_channel * self.weights).flatten(1).sum(1)
