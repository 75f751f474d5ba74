"""What modalities share and what is a modality's own; the shared part stands in for absent ones (ShaSpec)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion.base import FusionLayer, expand, mask_absent
from polyscan.fusion.blocks import PerModality, Pointwise, average, pooled


class SharedSpecific(FusionLayer):
    """F = W [f_1; ...; f_n] + b, f_i = P [s_i; r_i] + s_i where modality i is there, else the mean of the s_j there.

    Shared-specific feature modelling (Wang et al., ShaSpec, CVPR 2023, section 3.2): s_i = S M_i with one map S for
    all modalities, r_i = R_i M_i with one for each. An absent modality is generated from what the others share.
    ``auxiliary_loss`` has the paper's two terms: ``shared``, shared features of two modalities lie close (L1 of their
    means), and ``domain``, a classifier can tell from the specific ones which modality they are. Depends on the order
    of the modalities.

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
        self.shared = Pointwise(channels, channels)
        self.specific = PerModality(modalities, channels, channels)
        self.residual = Pointwise(2 * channels, channels)
        self.project = Pointwise(modalities * channels, channels)
        self.which = nn.Linear(channels, modalities)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`FusionLayer`."""
        shared = self._shared(features)
        both = torch.cat([shared, self.specific(features)], dim=2)
        own = self.residual(both.flatten(0, 1)).reshape(shared.shape) + shared
        valid = expand(available, shared)
        generated = average(mask_absent(shared, available), available).unsqueeze(1)
        return self.project(torch.where(valid, own, generated).flatten(1, 2))

    def auxiliary_loss(
        self,
        features: Tensor,
        available: Tensor,
        fused: Tensor,
        target: Tensor | None = None,
        pyramid: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """``shared``, distance of shared features; ``domain``, cross-entropy of which modality specific ones are."""
        features = mask_absent(features, available)
        shared, own = pooled(self._shared(features)), pooled(self.specific(features))
        pairs = (available.unsqueeze(1) & available.unsqueeze(2)).triu(1)
        apart = (shared.unsqueeze(1) - shared.unsqueeze(2)).abs().mean(3)
        alignment = (apart * pairs).sum() / pairs.sum().clamp(min=1)
        rows, modality = torch.nonzero(available, as_tuple=True)
        return {"shared": alignment, "domain": functional.cross_entropy(self.which(own[rows, modality]), modality)}

    def _shared(self, features: Tensor) -> Tensor:
        return self.shared(features.flatten(0, 1)).reshape(features.shape)
