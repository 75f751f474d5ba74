"""Gated multimodal unit: gates that see every modality decide how much of each enters the sum."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, concatenate, mask_absent
from polyscan.fusion.blocks import PerModality, Pointwise


class GatedSum(FusionLayer):
    """h_i = tanh(W_i M_i + b_i), z_i = sigma(Y_i [M_1; ...; M_n; available] + c_i), F = sum_i z_i h_i.

    Gated multimodal unit (Arevalo et al., "Gated Multimodal Units for Information Fusion", 2017), the form for more
    than two modalities; the availability beside the features is ours. ``gates`` tells z. Depends on the order of the
    modalities; the output lies within plus and minus the number of modalities.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.content = PerModality(modalities, channels, channels)
        self.gate = Pointwise(modalities * channels + modalities, modalities * channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return (self.gates(features, available) * torch.tanh(self.content(features))).sum(1)

    @torch.jit.export
    def gates(self, features: Tensor, available: Tensor) -> Tensor:
        """How much of each modality enters.

        Args:
            features: (batch, modality, channel, *spatial), zero where absent.
            available: (batch, modality) bool.

        Returns:
            Of the shape of ``features``, from 0 to 1; 0 where absent.
        """
        gates = torch.sigmoid(self.gate(concatenate(features, available))).reshape(features.shape)
        return mask_absent(gates, available)
