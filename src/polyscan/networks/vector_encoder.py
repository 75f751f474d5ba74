"""An encoder of vectors: clinical variables, genes, the embedding of another network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyscan.networks.encoders import Encoder


class VectorEncoder(Encoder):
    """A multilayer perceptron whose layers are levels, so that vectors are modalities as images are.

    With ``spatial_dims=1`` :class:`polyscan.networks.FusionNet` reads (batch, modality, size): a vector a modality, NaN
    where a value was not recorded or where another modality's vector is longer.

    Args:
        in_channels: 1, or the channels of a fusion at the input.
        spatial_dims: 1.
        size: of the longest vector.
        channels: of each layer.
        dropout: probability of each value of the vector and of each hidden one.
        linear: how many channels of each layer have no ReLU. With a head that is linear, the network holds the linear
            model of the vector, and learns what is not linear beside it (Cheng et al., Wide and deep learning, DLRS
            2016).

    Example:
        >>> encoder = partial(VectorEncoder, size=30, channels=(16,))
        >>> net = FusionNet(["clinical", "genes"], encoder, [0], AttentionWeighted, CoxHead, spatial_dims=1)
        >>> net(torch.randn(4, 2, 30)).shape
        torch.Size([4, 1])
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 1,
        *,
        size: int,
        channels: Sequence[int] = (32,),
        dropout: float = 0.0,
        linear: int = 0,
    ) -> None:
        if not 0 <= linear <= min(channels):
            raise ValueError(f"linear is {linear}; expected 0 to {min(channels)}, the channels of a layer.")
        if spatial_dims != 1:
            raise ValueError(f"spatial_dims is {spatial_dims}; a vector has 1: set spatial_dims=1 in FusionNet.")
        widths = itertools.pairwise([in_channels * size, *channels])
        super().__init__([VectorLayer(a, b, dropout, linear) for a, b in widths], channels)


class VectorLayer(nn.Module):
    """Dropout, a linear map of the whole vector, ReLU of all channels but the first few.

    Args:
        in_size, out_size: of the map.
        dropout: probability of each value.
        linear: channels without ReLU.
    """

    def __init__(self, in_size: int, out_size: int, dropout: float, linear: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_size, out_size))
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Turn (batch, channel, size) into (batch, out_size, 1)."""
        out: Tensor = self.layers(x.flatten(1))
        return torch.cat([out[:, : self.linear], out[:, self.linear :].relu()], dim=1).unsqueeze(2)
