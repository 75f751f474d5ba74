"""The mean of a modality's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import LossInputs, expand
from polyscan.missing.base import Imputation, mean_over


class MeanImputation(Imputation):
    """f_m = mean of f_m over the subjects that have modality m, channel by channel.

    The mean is what least squares finds, by a loss of its own; the supervised loss does not move it. Unlike a learned
    token it needs no subject that lacks the modality.
    """

    STANDS_IN: ClassVar[str] = "the mean of its features stands in"
    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"imputation": 1.0}

    def add_parts(self, modalities: int, channels: int) -> None:
        self.mean = nn.Parameter(torch.zeros(modalities, channels))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        return expand(self.mean.detach().unsqueeze(0), features).expand_as(features).to(features.dtype)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``imputation``: the squared error of the mean, over what is there."""
        known = given.features.detach()
        error = (known - expand(self.mean.unsqueeze(0), known)).square().flatten(0, 1)
        return {"imputation": mean_over(error, given.available.flatten())}
