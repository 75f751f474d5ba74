"""Modalities of one study are alike, those of two are not."""

from __future__ import annotations

import itertools
import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional

from polyscan.fusion.blocks import PerModality, pooled
from polyscan.fusion.global_local_alignment import contrast
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel
from polyscan.objectives.base import FeatureObjective


class Contrastive(FeatureObjective):
    """L = mean over pairs of modalities of InfoNCE(s z_a z_b^T), z_m = P_m f_m / |P_m f_m|, both ways.

    InfoNCE (van den Oord et al., arXiv 1807.03748, 2018) in the symmetric form of CLIP (Radford et al., ICML
    2021): which of the batch's studies belongs to this scan? f_m is the mean of a modality's deepest features over
    space, P_m a linear map of its own, s = 1 / temperature is learned and at most 100. A pair is compared over
    the studies that have both, of all processes that train together; so take large batches.

    Args:
        network, weight: see :class:`FeatureObjective`.
        width: numbers that are compared.
        temperature: to begin with, as CLIP does.
    """

    def __init__(
        self, network: FusionModel, *, weight: float = 1.0, width: int = 64, temperature: float = 0.07
    ) -> None:
        super().__init__(network, weight=weight)
        self.project = PerModality(self.modalities, self.channels, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, encoded: CachedFeatures) -> Tensor:
        """See :class:`Objective`; 0 where no two studies have the same two modalities."""
        points = functional.normalize(self.project(pooled(self.features(encoded))).float(), dim=2)
        points, available = of_all_processes(points), of_all_processes(encoded.available)
        scale = self.log_scale.exp().clamp(max=100)
        losses = []
        for a, b in itertools.combinations(range(self.modalities), 2):
            rows = available[:, a] & available[:, b]
            if int(rows.sum()) > 1:
                losses.append(contrast(scale * points[rows, a] @ points[rows, b].transpose(0, 1)) / 2)
        return torch.stack(losses).mean() if losses else points.sum() * 0


def of_all_processes(rows: Tensor) -> Tensor:
    """The rows of every process that trains, with their gradients; each has equally many."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    return torch.cat(list(all_gather(rows)))
