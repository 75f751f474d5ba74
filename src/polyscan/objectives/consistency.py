"""Two random subsets of a study's modalities are to give one answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from polyscan.learning.distillation import random_subset
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel
from polyscan.objectives.base import Objective


class Consistency(Objective):
    """L = mean over classes of (p(f_S) - p(f_T))^2, S and T two random subsets of the modalities that are there.

    Consistency of two noisy passes (Laine and Aila, Temporal ensembling, ICLR 2017), the noise being which
    modalities are left: views that should agree on what neither has a label for, as in co-training (Blum and Mitchell,
    COLT 1998). p are the probabilities of each task's classes, of each region by itself where there are no classes.

    Args:
        network, weight: see :class:`Objective`.
        drop: probability that a modality is left out of a subset; one stays.
        one_hot: of the classes, see :class:`polyscan.learning.OneHotTasks`.

    Raises:
        ValueError: ``drop`` is no probability below 1.
    """

    def __init__(
        self,
        network: FusionModel,
        *,
        weight: float = 1.0,
        drop: float = 0.5,
        one_hot: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(network, weight=weight)
        if not 0 <= drop < 1:
            raise ValueError(f"drop is {drop}; expected a probability below 1.")
        self.drop = drop
        self.sizes: list[int] = list(getattr(one_hot, "sizes", []))

    def forward(self, encoded: CachedFeatures) -> Tensor:
        first, second = (self._probabilities(encoded) for _ in range(2))
        return functional.mse_loss(first, second)

    def _probabilities(self, encoded: CachedFeatures) -> Tensor:
        subset = random_subset(encoded.available, self.drop)
        logits = encoded.logits(subset)
        if not self.sizes:
            return torch.sigmoid(logits)
        return torch.cat([part.softmax(1) for part in logits.split(self.sizes, 1)], dim=1)
