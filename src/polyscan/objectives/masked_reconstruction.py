"""Each modality's features are predicted from those of the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import concatenate
from polyscan.fusion.blocks import Pointwise, flatten_space
from polyscan.missing.base import hide_each
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel
from polyscan.objectives.base import FeatureObjective


class MaskedReconstruction(FeatureObjective):
    """L = mean over m of |G_m(f_S) - f_m|^2, S all modalities that are there but m, each channel of f_m standardised.

    Masked-modality reconstruction of features (in the way of Liu et al., M3AE, AAAI 2023, which masks scans and
    reconstructs their voxels). G are two maps with a ReLU between them at every position. What is predicted is
    standardised over the batch and passes no gradient on, so that L is the share of its variance that the others do not
    tell, and features that do not vary gain nothing. Each modality of a study that has another one is hidden in turn.

    Args:
        network, weight: see :class:`FeatureObjective`.
    """

    def __init__(self, network: FusionModel, *, weight: float = 1.0) -> None:
        super().__init__(network, weight=weight)
        width = self.modalities * self.channels
        self.generator = nn.Sequential(Pointwise(width + self.modalities, width), nn.ReLU(), Pointwise(width, width))

    def forward(self, encoded: CachedFeatures) -> Tensor:
        """See :class:`Objective`; 0 where no two studies have a modality and another one."""
        features = self.features(encoded)
        losses = []
        for m, others, rest, rows in hide_each(features, encoded.available):
            if int(rows.sum()) > 1:
                generated = self.generator(concatenate(others[rows], rest[rows])).reshape(features[rows].shape)[:, m]
                losses.append((generated - standardised(features[rows, m].detach())).square().mean())
        return torch.stack(losses).mean() if losses else features.sum() * 0


def standardised(features: Tensor) -> Tensor:
    """Features (row, channel, *spatial) with mean 0 and variance 1 of each channel over rows and space."""
    each = flatten_space(features.float(), 2)
    centred = each - each.mean((0, 2), keepdim=True)
    return (centred / (each.var((0, 2), keepdim=True, correction=0) + 1e-5).sqrt()).reshape(features.shape)
