"""Scans and table of one study are alike, those of two are not."""

from __future__ import annotations

import math

import torch
from monai.networks.layers import Pool
from torch import Tensor, nn
from torch.nn import functional

from polyscan.errors import PolyscanError
from polyscan.fusion.global_local_alignment import contrast
from polyscan.fusion.table.base import row
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel
from polyscan.networks.table_net import TableNet
from polyscan.objectives.base import Objective, outermost_layers
from polyscan.objectives.contrastive import of_all_processes


class TableContrast(Objective):
    """L = InfoNCE(s z t^T) both ways, z of a study's scans, t of its table: which of the batch's is the table of these?

    A report, as the vector that any text encoder makes of it, so teaches what scans show (Zhang et al., ConVIRT, MLHC
    2022; CLIP, Radford et al., ICML 2021); genes and clinical variables do too. z is a linear map of the deepest fused
    features, before the table acts on them; t two maps of its tokens; both have length 1, s = 1 / temperature is
    learned and at most 100. The features are averaged over ``blocks`` blocks along each axis, not over all of space,
    since a report says where things are. Studies of all processes that train together are compared: take large batches.

    Args:
        network: a :class:`polyscan.networks.TableNet`.
        weight: see :class:`Objective`.
        width: numbers that are compared.
        blocks: along each axis, 1 to average over all of space.
        temperature: to begin with, as CLIP does.

    Raises:
        PolyscanError: the network reads no table beside its scans.
    """

    def __init__(
        self,
        network: FusionModel,
        *,
        weight: float = 1.0,
        width: int = 64,
        blocks: int = 2,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(network, weight=weight)
        tokens, sides = self.read_by(network).tokens, outermost_layers(network)[-1].spatial_dims
        self.average = Pool["adaptiveavg", sides](blocks)
        self.scans = nn.Linear(network.fused_channels[-1] * blocks**sides, width, bias=False)
        self.table = nn.Sequential(
            nn.Linear(tokens.variables * (tokens.width + 1), width), nn.ReLU(), nn.Linear(width, width)
        )
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def check(self, network: FusionModel) -> None:
        """Refuse a network that reads no table beside its scans."""
        self.read_by(network)

    def forward(self, encoded: CachedFeatures) -> Tensor:
        """See :class:`Objective`; 0 where no two studies have both."""
        scans, table, both = (of_all_processes(each) for each in self.points(encoded))
        scale = self.log_scale.exp().clamp(max=100)
        if int(both.sum()) < 2:
            return (scans.sum() + table.sum()) * 0
        return contrast(scale * scans[both] @ table[both].transpose(0, 1)) / 2

    def points(self, encoded: CachedFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """What is compared, (batch, width) of scans and of tables, and (batch) bool: who has both."""
        tokens, recorded = self.read_by(encoded.network).tokens(encoded.inputs[0])
        points = self.scans(self.features(encoded)), self.table(row(tokens, recorded))
        scans, table = (functional.normalize(each.float(), dim=1) for each in points)
        return scans, table, encoded.available.any(1) & recorded.any(1)

    def features(self, encoded: CachedFeatures) -> Tensor:
        """(batch, channel * block) the deepest fused features, the table left out, averaged over each block."""
        fused = encoded.network.fuse(list(encoded.features), encoded.available)[-1]
        pooled: Tensor = self.average(fused)
        return pooled.flatten(1)

    def read_by(self, network: FusionModel) -> TableNet:
        """The network, which reads a table."""
        if not isinstance(network, TableNet):
            raise PolyscanError(
                f"{type(self).__name__} learns scans and the table beside them from each other; "
                f"{type(network).__name__} reads none: take a bundle of scans and clinical variables."
            )
        return network
