"""Channel attention: what all modalities contain decides which channels of each count."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand
from polyscan.fusion.blocks import ChannelMLP, average, pooled


class SqueezeExcitation(FusionLayer):
    """F = mean over available i of s_i * M_i with [s_1; ...; s_n] = sigma(W2 relu(W1 [mean(M_1); ...; available])).

    Squeeze-and-excitation (Hu et al., CVPR 2018) with one squeeze of all modalities together, as in
    the multimodal transfer module (Joze et al., MMTM, CVPR 2020). ``gates`` tells s. Depends on the
    order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        reduction: by how much the hidden layer is narrower than all channels together.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, reduction: int = 4) -> None:
        super().__init__(modalities, channels, spatial_dims)
        size = modalities * channels
        self.excite = ChannelMLP(size + modalities, size, max(1, size // reduction))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return average(expand(self.gates(features, available), features) * features, available)

    @torch.jit.export
    def gates(self, features: Tensor, available: Tensor) -> Tensor:
        """The weight of each channel, (batch, modality, channel) from 0 to 1; ``features`` are zero where absent."""
        squeezed = torch.cat([pooled(features).flatten(1), available], dim=1)
        return torch.sigmoid(self.excite(squeezed)).unflatten(1, [self.modalities, self.channels])
