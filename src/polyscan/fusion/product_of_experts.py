"""Product of Gaussian experts: each modality says what it believes and how sure it is (U-HVED)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, LossInputs, mask_absent
from polyscan.fusion.blocks import PerModality, Pointwise


class ProductOfExperts(FusionLayer):
    """F = mean of N(0, 1) prod_i N(mu_i, 1 / T_i) = sum_i T_i mu_i / (1 + sum_i T_i), over the modalities there.

    Hetero-modal variational encoder-decoder (Dorent et al., U-HVED, MICCAI 2019; the product after Wu and
    Goodman, NeurIPS 2018): mu_i and log T_i are linear maps of M_i at every position. In training F is a sample, in
    evaluation the mean. ``auxiliary_loss`` has the paper's terms: ``prior``, the divergence of the product over each
    subset of the modalities there from N(0, 1); ``subsets``, that of the product over all from the product over each
    other subset; and ``reconstruction``, the squared error of each modality that is read from F by a linear map (the
    paper decodes the scans themselves; here their features, which learn nothing from it). Depends on the order of the
    modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"prior": 0.1, "subsets": 0.1, "reconstruction": 0.1}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        self.experts = PerModality(modalities, channels, 2 * channels)
        self.decode = Pointwise(channels, modalities * channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        mean, precision = self.posterior(features, available)
        if self.training:
            return mean + torch.randn_like(mean) * precision.rsqrt()
        return mean

    @torch.jit.export
    def posterior(self, features: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and precision (one over the variance, at least 1) of the product.

        Args:
            features: (batch, modality, channel, *spatial), zero where absent.
            available: (batch, modality) bool.

        Returns:
            Two of (batch, channel, *spatial).
        """
        mean, log_precision = self.experts(features).chunk(2, dim=2)
        precision = mask_absent(log_precision.clamp(-10, 10).exp(), available)
        total = 1 + precision.sum(1)
        return (precision * mean).sum(1) / total, total

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``prior``, ``subsets`` and ``reconstruction``; means over rows and subsets, channels and positions.

        Of more than four modalities 15 subsets are drawn anew each time, as many as there are of four.
        """
        mean, precision = self.posterior(given.features, given.available)
        prior, inter = [mean[:0]], [mean[:0]]
        for subset in subsets(self.modalities):
            chosen = given.available & torch.tensor(subset, device=given.available.device)
            some = chosen.any(1)
            fewer = some & (chosen != given.available).any(1)
            sub_mean, sub_precision = self.posterior(given.features, chosen)
            standard = torch.zeros_like(mean[some]), torch.ones_like(mean[some])
            prior.append(divergence(sub_mean[some], sub_precision[some], *standard))
            inter.append(divergence(mean[fewer], precision[fewer], sub_mean[fewer], sub_precision[fewer]))
        error = (self.decode(given.fused).reshape(given.features.shape) - given.features.detach()).square()
        return {
            "prior": mean_or_zero(torch.cat(prior)),
            "subsets": mean_or_zero(torch.cat(inter)),
            "reconstruction": mean_or_zero(error[given.available]),
        }


def subsets(modalities: int) -> list[list[bool]]:
    """Every subset of up to four modalities that has one at least; 15 random ones of more."""
    if modalities <= 4:
        return [[bool(code >> m & 1) for m in range(modalities)] for code in range(1, 2**modalities)]
    drawn = torch.rand(15, modalities) < 0.5
    drawn[torch.arange(15), torch.randint(modalities, (15,))] = True
    return [[bool(kept) for kept in row] for row in drawn]


def divergence(mean: Tensor, precision: Tensor, of_mean: Tensor, of_precision: Tensor) -> Tensor:
    """KL(N(mean, 1 / precision) || N(of_mean, 1 / of_precision)) of each number."""
    ratio = of_precision / precision
    return 0.5 * (ratio - 1 - ratio.log() + of_precision * (mean - of_mean).square())


def mean_or_zero(values: Tensor) -> Tensor:
    """The mean; 0 of nothing."""
    return values.mean() if len(values) else values.sum()
