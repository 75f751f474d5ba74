"""Dual attention of DRIFA-Net: within each modality, then between them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import FusionLayer, concatenate, expand
from polyscan.fusion.blocks import PerModality, Pointwise, average, flatten_space, mean_of


class MultiBranchFusionAttention(nn.Module):
    """MFA: a gate on the channels of one modality, from a hierarchical (HIFA) and a local (CLIA) branch.

    With sigma the sigmoid, W and V linear maps at every position, and mean, max over space::

        a1 = sigma(W1 x)         a2 = sigma(W2 a1)    p1 = mean(a1) + max(a2)
        a3 = sigma(W3 (a1 + a2)) a4 = sigma(W4 a3)    p2 = mean(a3) + max(a4)
        G = sigma(F [p1; p2])    u = mean(sigma(V1 x))    L = u + sigma(V2 u)
        y = x * sigma(g G + s L) * alpha

    Dhar et al., WACV 2025 (arXiv 2412.01248), as their published code computes it; 8 C^2 + 9 C + 1 parameters. With
    all scales at one the gate lies between 0.5 and 0.953.

    Args:
        channels: of the modality.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.w1, self.w2 = Pointwise(channels, channels), Pointwise(channels, channels)
        self.w3, self.w4 = Pointwise(channels, channels), Pointwise(channels, channels)
        self.f = nn.Linear(2 * channels, channels)
        self.v1, self.v2 = Pointwise(channels, channels), nn.Linear(channels, channels)
        self.g = nn.Parameter(torch.ones(1))
        self.s = nn.Parameter(torch.ones(channels))
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Gate (batch, channel, *spatial)."""
        a1 = torch.sigmoid(self.w1(x))
        a2 = torch.sigmoid(self.w2(a1))
        a3 = torch.sigmoid(self.w3(a1 + a2))
        a4 = torch.sigmoid(self.w4(a3))
        p1, p2 = mean(a1) + maximum(a2), mean(a3) + maximum(a4)
        hierarchical = torch.sigmoid(self.f(torch.cat([p1, p2], dim=1)))
        u = mean(torch.sigmoid(self.v1(x)))
        local = u + torch.sigmoid(self.v2(u))
        gate = torch.sigmoid(self.g * hierarchical + self.s * local) * self.alpha
        return x * expand(gate, x)


class MultimodalInformationFusionAttention(nn.Module):
    """MIFA: one gate on the channels of all modalities, from what they hold together (MGIFA) and each alone (MLIFA).

    With q in {min, mean, max} over space, V_m a linear map at every position and F one linear map::

        G = sum_q sigma(F sum_m q(x_m))        L = sum_m sum_q q(sigma(V_m x_m))
        y_m = x_m * sigma(g G + s L) * alpha_m

    Dhar et al., WACV 2025 (arXiv 2412.01248), as their published code computes it for two modalities;
    (M + 1)(C^2 + C) + (M + 1) C + 1 parameters. Sums over modalities are scaled to M where some are absent (ours).

    Args:
        modalities: how many (M).
        channels: of each (C).
    """

    def __init__(self, modalities: int, channels: int) -> None:
        super().__init__()
        self.v = PerModality(modalities, channels, channels)
        self.f = nn.Linear(channels, channels)
        self.g = nn.Parameter(torch.ones(1))
        self.s = nn.Parameter(torch.ones(channels))
        self.alpha = nn.Parameter(torch.ones(modalities, channels))

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Gate (batch, modality, channel, *spatial), zero where absent."""
        number = float(features.shape[1])
        together = number * average(extremes(features), available)
        merged = torch.sigmoid(self.f(together)).sum(1)
        each = extremes(torch.sigmoid(self.v(features))).sum(2)
        local = number * mean_of(each, available)
        gate = torch.sigmoid(self.g * merged + self.s * local).unsqueeze(1) * self.alpha
        return features * expand(gate, features)


class DRIFA(FusionLayer):
    """F = W [y_1; ...; y_n; available] + b with y = MIFA(MFA_1(M_1), ..., MFA_n(M_n)).

    Dual attention and concatenation as in DRIFA-Net (Dhar et al., WACV 2025, arXiv 2412.01248; the paper's text was
    not to be had, so its published code is the reference). :class:`LeanDRIFA` has the same parts with gates that do not
    saturate. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
    """

    mfa: ClassVar[type[nn.Module]] = MultiBranchFusionAttention
    mifa: ClassVar[type[nn.Module]] = MultimodalInformationFusionAttention

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.within = nn.ModuleList(self.mfa(channels) for _ in range(modalities))
        self.between = self.mifa(modalities, channels)
        self.project = Pointwise(modalities * channels + modalities, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        gated: list[Tensor] = []
        for m, within in enumerate(self.within):
            gated.append(within(features[:, m]))
        return self.project(concatenate(self.between(torch.stack(gated, dim=1), available), available))


def mean(x: Tensor) -> Tensor:
    """Mean over space, (batch, channel, *spatial) to (batch, channel)."""
    return flatten_space(x, 2).mean(2)


def maximum(x: Tensor) -> Tensor:
    """Maximum over space, (batch, channel, *spatial) to (batch, channel)."""
    return flatten_space(x, 2).amax(2)


def extremes(features: Tensor) -> Tensor:
    """Minimum, mean and maximum over space: (batch, modality, 3, channel)."""
    voxels = flatten_space(features, 3)
    return torch.stack([voxels.amin(3), voxels.mean(3), voxels.amax(3)], dim=2)
