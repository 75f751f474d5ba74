"""What every fusion layer is: absent modalities are set aside here, once, so that a layer holds only its arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FusionLayer(nn.Module):
    """Join the features of several modalities into one.

    A layer writes ``fuse``, which finds zeros wherever a modality is absent. Whatever stood there before, NaN and
    infinity included, changes neither the output nor a gradient.

    Args:
        modalities: how many modalities there are, absent ones included; at least 1.
        channels: channels of each modality's features and of the output.
        spatial_dims: spatial axes of the features; layers without spatial kernels work at any rank.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__()
        if modalities < 1 or channels < 1:
            raise ValueError(f"modalities and channels must be at least 1, found {modalities} and {channels}.")
        self.modalities = modalities
        self.channels = channels
        self.spatial_dims = spatial_dims

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Join modalities.

        Args:
            features: (batch, modality, channel, *spatial); any rank of spatial, none included.
            available: (batch, modality) bool; at least one True a row.

        Returns:
            (batch, channel, *spatial), unchanged by whatever stands in absent modalities.

        Raises:
            ValueError: a shape is not the one that the layer was made for.
        """
        self.check(features, available)
        return self.fuse(cleared(features, available), available)

    def check(self, features: Tensor, available: Tensor) -> None:
        """Raise ValueError where a shape is not the one that the layer was made for."""
        if features.dim() < 3 or features.shape[1] != self.modalities or features.shape[2] != self.channels:
            raise ValueError(
                f"features have shape {list(features.shape)}; expected (batch, {self.modalities} modalities, "
                f"{self.channels} channels, *spatial)."
            )
        if available.shape != features.shape[:2]:
            raise ValueError(f"available has shape {list(available.shape)}; expected {list(features.shape[:2])}.")

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        """Join modalities; ``features`` are zero where ``available`` is False."""
        raise NotImplementedError


def expand(values: Tensor, features: Tensor) -> Tensor:
    """View values of the first axes of features, such as (batch, modality), so that they broadcast over all of them."""
    return values.reshape(list(values.shape) + [1] * (features.dim() - values.dim()))


def cleared(features: Tensor, available: Tensor) -> Tensor:
    """Features (batch, modality, ...) with zeros wherever ``available`` (batch, modality) is False."""
    return features.masked_fill(~expand(available, features), 0.0)


def joined(features: Tensor, available: Tensor) -> Tensor:
    """Lay the modalities and their availability behind each other.

    Args:
        features: (batch, modality, channel, *spatial), zero where absent.
        available: (batch, modality) bool.

    Returns:
        (batch, modality * channel + modality, *spatial); the last channels are 1 where a modality is there, else 0.
    """
    flags = expand(available, features).squeeze(2).to(features.dtype)
    return torch.cat([features.flatten(1, 2), flags.expand([-1, -1] + list(features.shape[3:]))], dim=1)
