"""Region-aware fusion: different regions listen to different modalities (RFNet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, LossInputs, concatenate
from polyscan.fusion.blocks import Pointwise, flatten_space
from polyscan.fusion.region_supervision import supervise, supervise_each


class RegionAware(FusionLayer):
    """F = W [R_1; ...; R_K] + V [M_1; ...; M_n; available] + b with R_k = sum_i w_ki p_k M_i.

    Region-aware fusion network (Ding et al., RFNet, ICCV 2021): p = softmax over K regions of a first
    guess of the regions at every position; g_ki = mean_v p_k M_i / mean_v p_k, what modality i holds in region k;
    w_k = sigma(W2 lrelu(W1 [g_k1; ...; g_kn; mean_v p_k])), a weigher for each region. No gradient of F reaches p:
    the regions are learned from labels alone, by ``auxiliary_loss``: ``regions``, p is taught the
    regions, and ``modalities``, a head that all modalities share finds the regions in each alone. Linear maps stand for
    the paper's convolutions and decoders (ours). Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
        regions: K, the background included; at least one more than the target has.
        hidden: numbers within a weigher.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"regions": 1.0, "modalities": 1.0}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        regions: int = 4,
        hidden: int = 128,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        every = modalities * channels + modalities
        self.guess = nn.Sequential(Pointwise(every, channels), nn.LeakyReLU(0.2), Pointwise(channels, regions))
        self.weighers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(modalities * channels + 1, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, modalities)
            )
            for _ in range(regions)
        )
        self.merge = Pointwise(regions * channels, channels)
        self.shortcut = Pointwise(every, channels, bias=False)
        self.decode = Pointwise(channels, regions)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        share = flatten_space(torch.softmax(self.region_maps(features, available).detach(), dim=1), 2)
        voxels = flatten_space(features, 3)
        joint: list[Tensor] = []
        for k, weigher in enumerate(self.weighers):
            inside = voxels * share[:, k].unsqueeze(1).unsqueeze(1)
            # The published guard, so that a region that is nowhere has contents of 0 and not of 0 / 0.
            size = share[:, k].mean(1, keepdim=True) + 1e-7
            contents = (inside.mean(3) / size.unsqueeze(2)).flatten(1)
            weights = torch.sigmoid(weigher(torch.cat([contents, size], dim=1)))
            joint.append((inside * weights.unsqueeze(2).unsqueeze(3)).sum(1))
        merged = self.merge(torch.cat(joint, dim=1)).reshape(features.shape[:1] + features.shape[2:])
        return merged + self.shortcut(concatenate(features, available))

    @torch.jit.export
    def region_maps(self, features: Tensor, available: Tensor) -> Tensor:
        """Logits of the regions, (batch, region, *spatial); ``features`` are zero where absent."""
        return self.guess(concatenate(features, available))

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``regions`` and ``modalities``; 0 without a map of regions on this grid."""
        return {
            "regions": supervise(self.region_maps(given.features, given.available), given.target),
            "modalities": supervise_each(self.decode, given.features, given.available, given.target),
        }
