"""Scans and table of one study are alike, those of two are not."""

from __future__ import annotations

import math

import torch
from monai.networks.layers import Pool
from torch import Tensor, nn
from torch.nn import functional

from polyscan.errors import PolyscanError
from polyscan.fusion.blocks import Pointwise
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
    2022; CLIP, Radford et al., ICML 2021); genes and clinical variables do too. z is two maps of the fused features,
    before the table acts on them; t two maps of its tokens; both have length 1, s = 1 / temperature is learned and at
    most 100. Since a report tells of small things, and where they are, :class:`AttentionPool` reads the finest fused
    level, and the deepest is averaged over ``blocks`` blocks along each axis. Studies of all processes that train
    together are compared: take large batches.

    Args:
        network: a :class:`polyscan.networks.TableNet`.
        weight: see :class:`Objective`.
        width: numbers that are compared.
        blocks: along each axis, 1 to average over all of space.
        heads: of the attention.
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
        heads: int = 8,
        temperature: float = 0.07,
    ) -> None:
        super().__init__(network, weight=weight)
        tokens, sides = self.read_by(network).tokens, outermost_layers(network)[-1].spatial_dims
        self.average = Pool["adaptiveavg", sides](blocks)
        self.finest = next(level for level, channels in enumerate(network.fused_channels) if channels)
        finest, deepest = network.fused_channels[self.finest], network.fused_channels[-1]
        self.attention = AttentionPool(finest, heads)
        read = deepest * blocks**sides + heads * (finest + sides)
        self.scans = nn.Sequential(
            nn.LayerNorm(read), nn.Linear(read, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )
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
        """(batch, feature) what the fused features hold, the table left out: block by block, then head by head."""
        fused = encoded.network.fuse(list(encoded.features), encoded.available)
        return torch.cat([self.average(fused[-1]).flatten(1), self.attention(fused[self.finest])], dim=1)

    def read_by(self, network: FusionModel) -> TableNet:
        """The network, which reads a table."""
        if not isinstance(network, TableNet):
            raise PolyscanError(
                f"{type(self).__name__} learns scans and the table beside them from each other; "
                f"{type(network).__name__} reads none: take a bundle of scans and clinical variables."
            )
        return network


class AttentionPool(nn.Module):
    """What each head finds where it looks, and where that is: sum over places p of a_p (f_p, g_p).

    a = softmax over p of 10 w f_p; g_p is the place, -3 to 3 along each axis, and its mean the spatial softmax of
    Levine et al. (JMLR 2016). Less steep, a softmax over thousands of voxels is hardly more than their mean.

    Args:
        channels: of the features f.
        heads: each with weights w of its own.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.score = Pointwise(channels, heads)

    def forward(self, features: Tensor) -> Tensor:
        """Turn (batch, channel, *spatial) into (batch, head * (channel + axis))."""
        axes = [torch.linspace(-3, 3, size, device=features.device) for size in features.shape[2:]]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(features), -1, *features.shape[2:])
        found = torch.cat([features, places.to(features.dtype)], dim=1).flatten(2)
        looked_at = (10 * self.score(features)).flatten(2).softmax(2)
        return (looked_at @ found.transpose(1, 2)).flatten(1)
