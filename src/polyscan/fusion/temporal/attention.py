"""The latest scan asks all of them, knowing how long ago each was."""

from __future__ import annotations

from torch import Tensor, nn

from polyscan.fusion.blocks import Attention, flatten_space, mean_of, sinusoids
from polyscan.fusion.temporal.base import TemporalFusion, latest


class TemporalAttention(TemporalFusion):
    """F = M_last + A(q = h_last, k = v = h_1 ... h_n), h_t = norm(M_t) + phi(days from t to the last).

    Attention over acquisition times (Sainte Fare Garnot et al., CVPR 2020) with the latest scan as the
    query; phi are sines and cosines of the days (Vaswani et al., NeurIPS 2017). Time V n C^2 for V
    voxels. Unchanged by the order in which the time points are given.

    Args:
        modalities, channels, spatial_dims: see :class:`TemporalFusion`.
        heads: as in :class:`polyscan.fusion.blocks.Attention`.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, heads: int | None = None) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)

    def fuse_days(self, features: Tensor, available: Tensor, days: Tensor) -> Tensor:
        newest = latest(days, available)
        ago = days.amax(1, keepdim=True) - days
        when = sinusoids(ago, self.channels).permute(1, 2, 0).to(features.dtype).unsqueeze(1)
        tokens = self.norm(flatten_space(features, 3).permute(0, 3, 1, 2)) + when
        asking = mean_of(tokens.transpose(1, 2), newest).unsqueeze(2)
        valid = available.unsqueeze(1).expand(-1, tokens.shape[1], -1).flatten(0, 1)
        read = self.attention(asking.flatten(0, 1), tokens.flatten(0, 1), valid)
        read = read.unflatten(0, [tokens.shape[0], tokens.shape[1]]).squeeze(2).transpose(1, 2)
        last = mean_of(features, newest)
        return last + read.reshape(last.shape)
