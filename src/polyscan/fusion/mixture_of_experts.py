"""Mixture of experts with a gate of its own for each sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, concatenate
from polyscan.fusion.blocks import flatten_space, pooled


class MixtureOfExperts(FusionLayer):
    """F = sum_e g_e (W_e x + b_e) with x = [M_1; ...; M_n; available] at a position and g = softmax(U mean(x) + c).

    Adaptive mixtures of local experts (Jacobs et al., Neural Computation 1991) with linear experts: each
    can serve one pattern of missing modalities, since the gate sees the availability. The experts' weights are mixed
    before they are applied (Yang et al., CondConv, NeurIPS 2019), so that more experts cost parameters but
    no time per voxel. ``gate`` tells g. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        experts: how many.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, experts: int = 4) -> None:
        super().__init__(modalities, channels, spatial_dims)
        size = modalities * channels + modalities
        self.weight = nn.Parameter(torch.empty(experts, channels, size).uniform_(-1, 1) / size**0.5)
        self.bias = nn.Parameter(torch.zeros(experts, channels))
        self.gating = nn.Linear(size, experts)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        gate = self.gate(features, available)
        weight = torch.einsum("be,ecx->bcx", gate, self.weight.to(gate.dtype))
        bias = (gate @ self.bias.to(gate.dtype)).unsqueeze(2)
        x = flatten_space(concatenate(features, available), 2)
        return (weight @ x + bias).reshape(features.shape[:1] + features.shape[2:])

    @torch.jit.export
    def gate(self, features: Tensor, available: Tensor) -> Tensor:
        """The share of each expert, (batch, expert), summing to one; ``features`` are zero where absent."""
        x = torch.cat([pooled(features).flatten(1), available], dim=1)
        return torch.softmax(self.gating(x), dim=1)
