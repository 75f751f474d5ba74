"""What modalities share and what is a modality's own, apart; the shared part speaks for one that is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion.base import LossInputs, expand
from polyscan.fusion.blocks import PerModality, mean_of
from polyscan.missing.base import Imputation, hide_each, mean_over


class Disentanglement(Imputation):
    """f_m = D_m(mean of s_j over j there) + r_m where m is missing; s_j = S_j f_j shared, f_j - D_j(s_j) specific.

    The specific part of a modality that is missing is its mean r_m. Two losses: ``cross_reconstruction``, each modality
    from what the others share and its mean specific part; ``orthogonality``, the squared
    cosine of shared and specific part (as in domain separation networks, Bousmalis et al., NeurIPS 2016).
    Both move the encoders, so that they learn to share. Unlike :class:`polyscan.fusion.SharedSpecific` it stands around
    any layer and leaves a modality that is there as it is.
    """

    STANDS_IN: ClassVar[str] = "what the others share with it stands in for its features"
    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"cross_reconstruction": 0.1, "orthogonality": 0.02}

    def add_parts(self, modalities: int, channels: int) -> None:
        self.share = PerModality(modalities, channels, channels)
        self.decode = PerModality(modalities, channels, channels, bias=False)
        self.specific_mean = nn.Parameter(torch.zeros(modalities, channels))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        shared = mean_of(self.share(features), available)
        decoded = self.decode(shared.unsqueeze(1).expand_as(features))
        return decoded + expand(self.specific_mean.unsqueeze(0), features)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """The two losses, over what is there."""
        known = given.features
        own_shared = self.decode(self.share(known))
        cross, orthogonal = [], []
        for m, others, rest, rows in hide_each(known, given.available):
            predicted = self.impute(others, rest)[:, m]
            cross.append(mean_over((predicted - known[:, m]).square(), rows))
            specific = (known - own_shared)[:, m].flatten(1)
            cosine = functional.cosine_similarity(own_shared[:, m].flatten(1), specific, dim=1, eps=1e-6)
            orthogonal.append(mean_over(cosine.square().unsqueeze(1), given.available[:, m]))
        return {"cross_reconstruction": torch.stack(cross).mean(), "orthogonality": torch.stack(orthogonal).mean()}
