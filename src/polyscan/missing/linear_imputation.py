"""A regression of each modality's features on those of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import LossInputs, concatenate
from polyscan.fusion.blocks import Pointwise
from polyscan.missing.base import Imputation, hide_each, mean_over


class LinearImputation(Imputation):
    """f_m = W_m [f_1; ...; f_n; available] + b_m at every position, with zeros and a flag for what is missing.

    What imputation by chained regressions (van Buuren and Groothuis-Oudshoorn, Journal of Statistical Software 45,
    2011) repeats until it settles, here as one regression that learns by hiding each modality of subjects that have it
    and another one. The supervised loss does not move it.
    """

    STANDS_IN: ClassVar[str] = "features that a regression predicts from the others stand in"
    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"imputation": 1.0}

    def add_parts(self, modalities: int, channels: int) -> None:
        self.regression = Pointwise(modalities * channels + modalities, modalities * channels)

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        return self._predict(features, available).detach()

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``imputation``: the squared error of each modality, predicted from the others."""
        known = given.features.detach()
        errors = []
        for m, others, rest, rows in hide_each(known, given.available):
            error = self._predict(others, rest)[:, m] - known[:, m]
            errors.append(mean_over(error.square(), rows))
        return {"imputation": torch.stack(errors).mean()}

    def _predict(self, features: Tensor, available: Tensor) -> Tensor:
        return self.regression(concatenate(features, available)).reshape(features.shape)
