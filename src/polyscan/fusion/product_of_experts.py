"""Product of Gaussian experts: each modality says what it believes and how sure it is (U-HVED)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, mask_absent
from polyscan.fusion.blocks import PerModality


class ProductOfExperts(FusionLayer):
    """F = mean of N(0, 1) prod_i N(mu_i, 1 / T_i) = sum_i T_i mu_i / (1 + sum_i T_i), over the modalities there.

    Hetero-modal variational encoder-decoder (Dorent et al., U-HVED, MICCAI 2019, section 2.2; the product after Wu and
    Goodman, NeurIPS 2018): mu_i and log T_i are linear maps of M_i at every position. In training F is a sample, in
    evaluation the mean. ``auxiliary_loss`` is ``divergence``, the Kullback-Leibler divergence of the product from
    N(0, 1). Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"divergence": 0.1}

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

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
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

    def auxiliary_loss(
        self,
        features: Tensor,
        available: Tensor,
        fused: Tensor,
        target: Tensor | None = None,
        pyramid: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """``divergence``: KL(product || N(0, 1)), the mean over batch, channels and positions."""
        mean, precision = self.posterior(mask_absent(features, available), available)
        return {"divergence": 0.5 * (1 / precision + mean.square() - 1 + precision.log()).mean()}
