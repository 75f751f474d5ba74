"""What modalities share and what is a modality's own; the shared part stands in for absent ones (ShaSpec)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion.base import FusionLayer, LossInputs, expand
from polyscan.fusion.blocks import PerModality, Pointwise, mean_of, pooled


class SharedSpecific(FusionLayer):
    """F = W [f_1; ...; f_n] + b, f_i = P [s_i; r_i] + s_i where modality i is there, else the mean of the s_j there.

    Shared-specific feature modelling (Wang et al., ShaSpec, CVPR 2023): s_i = S(M_i) with one encoder S
    for all modalities, r_i = R_i(M_i) with one for each; here both have two linear maps with a leaky ReLU between,
    behind the encoders of the network (ours). An absent modality is generated from what the others share.
    ``auxiliary_loss`` has the paper's two terms: ``shared``, shared features of two modalities are alike (L1 of whole
    maps, summed over the ring of pairs that the published code takes), and ``domain``, a classifier tells from the
    specific ones, averaged over space, which modality they are. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"shared": 0.1, "domain": 0.02}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        self.shared = nn.Sequential(Pointwise(channels, channels), nn.LeakyReLU(0.01), Pointwise(channels, channels))
        self.specific = nn.Sequential(
            PerModality(modalities, channels, channels), nn.LeakyReLU(0.01), PerModality(modalities, channels, channels)
        )
        self.residual = Pointwise(2 * channels, channels)
        self.project = Pointwise(modalities * channels, channels)
        self.which = nn.Linear(channels, modalities)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        shared = self._shared(features)
        both = torch.cat([shared, self.specific(features)], dim=2)
        own = self.residual(both.flatten(0, 1)).reshape(shared.shape) + shared
        valid = expand(available, shared)
        generated = mean_of(shared, available).unsqueeze(1)
        return self.project(torch.where(valid, own, generated).flatten(1, 2))

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``shared``, distance of shared features; ``domain``, cross-entropy of which modality specific ones are.

        The ring of a row goes through the modalities that it has, so that one alone has distance 0.
        """
        shared, own = self._shared(given.features), pooled(self.specific(given.features))
        rows, modality = torch.nonzero(given.available, as_tuple=True)
        if len(rows) == 0:
            return {"shared": shared.sum() * 0, "domain": own.sum() * 0}
        partner = following(given.available)[rows, modality]
        distance = (shared[rows, modality] - shared[rows, partner]).abs().flatten(1).mean(1).sum() / len(given.features)
        domain = functional.cross_entropy(self.which(own[rows, modality]), modality, reduction="none")
        # A mean over studies, so that several processes learn as one does.
        domain = (domain / given.available.sum(1)[rows]).sum() / len(given.features)
        return {"shared": distance, "domain": domain}

    def _shared(self, features: Tensor) -> Tensor:
        return self.shared(features.flatten(0, 1)).reshape(features.shape)


def following(available: Tensor) -> Tensor:
    """Index (batch, modality) of the next modality that is there, behind the last the first; itself where alone."""
    count = available.shape[1]
    index = torch.arange(count, device=available.device).expand(available.shape)
    found = index
    for step in range(count, 0, -1):
        candidate = (index + step) % count
        found = torch.where(available.gather(1, candidate), candidate, found)
    return found
