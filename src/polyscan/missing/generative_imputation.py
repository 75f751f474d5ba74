"""A generator of each modality's features that says how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import LossInputs, concatenate, expand
from polyscan.fusion.blocks import Pointwise
from polyscan.missing.base import Imputation, hide_each, mean_over


class GenerativeImputation(Imputation):
    """f_m = w_m G_m(f_S) + (1 - w_m) mu_m with w_m = max(0, 1 - sigma_m^2(f_S) / tau_m^2), channel by channel.

    G, two maps with a ReLU between them at every position, generates from the modalities S that are there the mean and
    the variance sigma^2 of what is missing (a heteroscedastic regression: Kendall and Gal, NeurIPS 2017).
    mu and tau^2 are mean and variance of the modality over all subjects. What the generator is not sure of gets less
    weight, and none where it knows no more than the mean: w is the share of the variance that it explains. It
    learns by hiding each modality of subjects that have it and another one; the supervised loss does not move it. The
    weight is ours.
    """

    STANDS_IN: ClassVar[str] = (
        "features generated from the others stand in, and count less where the generator is not sure"
    )
    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"imputation": 1.0, "marginal": 1.0}

    def add_parts(self, modalities: int, channels: int) -> None:
        width = modalities * channels
        self.generator = nn.Sequential(
            Pointwise(width + modalities, 2 * width), nn.ReLU(), Pointwise(2 * width, 2 * width)
        )
        self.mean = nn.Parameter(torch.zeros(modalities, channels))
        self.log_variance = nn.Parameter(torch.zeros(modalities, channels))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        generated, log_variance = self._generate(features, available)
        mean = expand(self.mean.unsqueeze(0), features)
        ratio = torch.exp(log_variance - expand(self.log_variance.unsqueeze(0), features))
        weight = (1 - ratio).clamp(min=0)
        return (mean + weight * (generated - mean)).detach().to(features.dtype)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``imputation`` and ``marginal``: negative log likelihood of what is hidden, and of what is there."""
        known = given.features.detach()
        hidden, marginal = [], []
        for m, others, rest, rows in hide_each(known, given.available):
            generated, log_variance = self._generate(others, rest)
            hidden.append(mean_over(_likelihood(known[:, m], generated[:, m], log_variance[:, m]), rows))
            own, own_variance = expand(self.mean[m], known[0, m]), expand(self.log_variance[m], known[0, m])
            marginal.append(mean_over(_likelihood(known[:, m], own, own_variance), given.available[:, m]))
        return {"imputation": torch.stack(hidden).mean(), "marginal": torch.stack(marginal).mean()}

    def _generate(self, features: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of every modality, (batch, modality, channel, *spatial) each."""
        mean, log_variance = self.generator(concatenate(features, available)).chunk(2, dim=1)
        return mean.reshape(features.shape), log_variance.reshape(features.shape).clamp(-8.0, 8.0)


def _likelihood(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * ((value - mean).square() * torch.exp(-log_variance) + log_variance)
