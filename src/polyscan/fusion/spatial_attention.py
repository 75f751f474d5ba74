"""Channel, then spatial attention on each modality (CBAM)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand, mask_absent
from polyscan.fusion.blocks import ChannelMLP, average, convolution, flatten_space


class SpatialAttention(FusionLayer):
    """M' = sigma(MLP(mean M) + MLP(max M)) * M, M'' = sigma(conv_7([mean_c M'; max_c M'])) * M', F = mean M''_i.

    CBAM (Woo et al., ECCV 2018). The MLP is shared by the modalities; the convolution sees the
    channel means and maxima of all of them and gives each a map of its own, so that one modality can say where another
    counts. ``maps`` tells it. Depends on the order of the modalities. Has a spatial kernel.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        reduction: by how much the MLP's hidden layer is narrower than the channels.
        kernel: size of the convolution.
    """

    def __init__(
        self, modalities: int, channels: int, spatial_dims: int = 3, *, reduction: int = 4, kernel: int = 7
    ) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.mlp = ChannelMLP(channels, channels, max(1, channels // reduction))
        self.conv = convolution(spatial_dims, 2 * modalities, modalities, kernel)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        features = self._channels(features)
        return average(self._maps(features).unsqueeze(2) * features, available)

    @torch.jit.export
    def maps(self, features: Tensor, available: Tensor) -> Tensor:
        """Where each modality counts, (batch, modality, *spatial) from 0 to 1; ``features`` are zero where absent."""
        maps = self._maps(self._channels(features))
        return mask_absent(maps, available)

    def _channels(self, features: Tensor) -> Tensor:
        voxels = flatten_space(features, 3)
        gates = torch.sigmoid(self.mlp(voxels.mean(3)) + self.mlp(voxels.amax(3)))
        return expand(gates, features) * features

    def _maps(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(torch.cat([features.mean(2), features.amax(2)], dim=1)))
