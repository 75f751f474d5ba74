"""Dual attention in the style of DRIFA-Net, with gates that begin as the identity and do not saturate."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import expand
from polyscan.fusion.blocks import PerModality, Pointwise, average
from polyscan.fusion.drifa import DRIFA, extremes, maximum, mean


class LeanMultiBranchAttention(nn.Module):
    """MFA without what keeps it from working: y = x * 2 sigma(F [p1; p2; u]), F zero at the start.

    The branches of :class:`polyscan.fusion.drifa.MultiBranchFusionAttention` with ReLU for the inner sigmoids, which
    squeeze all samples' gates into 0.81 +- 0.0025, and C / r channels within; the gate starts at one and can double or
    close a channel.
    No alpha, which a normalisation behind it cancels.

    Args:
        channels: of the modality.
        reduction: r.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.w1, self.w2 = Pointwise(channels, hidden), Pointwise(hidden, hidden)
        self.w3, self.w4 = Pointwise(hidden, hidden), Pointwise(hidden, hidden)
        self.v = Pointwise(channels, hidden)
        self.f = zeroed(nn.Linear(3 * hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Gate (batch, channel, *spatial)."""
        a1 = torch.relu(self.w1(x))
        a2 = torch.relu(self.w2(a1))
        a3 = torch.relu(self.w3(a1 + a2))
        a4 = torch.relu(self.w4(a3))
        branches = [mean(a1) + maximum(a2), mean(a3) + maximum(a4), mean(torch.relu(self.v(x)))]
        gate = 2 * torch.sigmoid(self.f(torch.cat(branches, dim=1)))
        return x * expand(gate, x)


class LeanMultimodalAttention(nn.Module):
    """MIFA whose gate does not saturate: means for sums, 2 sigma with its last map zero at the start, C / r within.

    The sums of :class:`polyscan.fusion.drifa.MultimodalInformationFusionAttention` drive its gate to 0.9999 for four
    modalities. Here each modality has a gate of its own from what all hold together and what it holds itself.

    Args:
        modalities: how many.
        channels: of each.
        reduction: r.
    """

    def __init__(self, modalities: int, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.v = PerModality(modalities, channels, hidden)
        self.f = nn.Linear(3 * channels, hidden)
        self.gates = PerModality(modalities, 2 * hidden, channels)
        nn.init.zeros_(self.gates.weight)
        if self.gates.bias is not None:
            nn.init.zeros_(self.gates.bias)

    def forward(self, features: Tensor, available: Tensor) -> Tensor:
        """Gate (batch, modality, channel, *spatial), zero where absent."""
        together = torch.relu(self.f(average(extremes(features), available).flatten(1))).unsqueeze(1)
        each = extremes(torch.relu(self.v(features))).mean(2)
        gate = 2 * torch.sigmoid(self.gates(torch.cat([together.expand_as(each), each], dim=2)))
        return features * expand(gate, features)


class LeanDRIFA(DRIFA):
    """F = W [y_1; ...; y_n; available] + b, y = MIFA(MFA_1(M_1), ..., MFA_n(M_n)) with gates that start at one.

    :class:`polyscan.fusion.DRIFA` with gates that do not saturate and an eighth of the parameters; it starts as a
    concatenation. Depends on the order of the modalities.
    """

    mfa: ClassVar[type[nn.Module]] = LeanMultiBranchAttention
    mifa: ClassVar[type[nn.Module]] = LeanMultimodalAttention


def zeroed(linear: nn.Linear) -> nn.Linear:
    """Let a linear map give zeros until it has learned."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
