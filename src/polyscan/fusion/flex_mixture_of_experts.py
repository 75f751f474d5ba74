"""A sparse mixture of experts with a bank for absent modalities (Flex-MoE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.errors import PolyscanError
from polyscan.fusion.base import FusionLayer, LossInputs, expand
from polyscan.fusion.blocks import Attention, ModalityEmbedding, Pointwise, combination, flatten_space

MOST = 10
"""Modalities; the bank of eleven would have 22517 vectors."""


class FlexMixtureOfExperts(FusionLayer):
    """F = W [t_1; ...; t_n] + b, t_i = x_i + sum_e g_e E_e(norm x_i) over the k experts e that score highest for x_i.

    Flexible mixture of experts (Yun et al., Flex-MoE, NeurIPS 2024): tokens are the modalities of one position, in the
    paper patches of all. x = y + A(norm y) with A multi-head attention and y_i = M_i + e_i, where absent a
    vector of the bank: one for each modality and each combination of the others that is there. Experts E_e are
    MLPs; g is the softmax of the k highest scores of a linear router (Shazeer et al., ICLR 2017, without their noise).
    ``auxiliary_loss`` has the paper's two terms: ``routing``, tokens of an incomplete subject are to go to the
    expert of its combination, the cross-entropy of the scores; and ``balance``, the squared coefficient of variation of
    what each expert is given, over complete subjects, which so train all experts, and over
    incomplete ones. The first expert is that of the complete; with fewer than 2^n - 1 of them combinations share one
    (ours). For V voxels the time is V (n^2 C + k n C^2), whatever the number of experts.
    Depends on the order of the modalities.

    Args:
        modalities: ten at most.
        channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
        experts: how many, at least 2.
        top: of them for each token (k).
        heads: as in :class:`polyscan.fusion.blocks.Attention`.

    Raises:
        PolyscanError: there are more than ten modalities.
        ValueError: there are fewer than two experts, or ``top`` is none of 1 to their number.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"routing": 0.01, "balance": 0.01}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        experts: int = 16,
        top: int = 2,
        heads: int | None = None,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        if modalities > MOST:
            raise PolyscanError(
                f"FlexMixtureOfExperts has a bank for each combination of modalities; found {modalities} of them, "
                f"expected {MOST} at most."
            )
        if experts < 2 or not 1 <= top <= experts:
            raise ValueError(f"experts is {experts} and top {top}; expected at least 2, and 1 to {experts} of them.")
        self.embed = ModalityEmbedding(modalities, channels)
        self.bank = nn.Parameter(torch.randn(2**modalities - 1, modalities, channels))
        self.norm_attention = nn.LayerNorm(channels)
        self.attention = Attention(channels, heads)
        self.norm_experts = nn.LayerNorm(channels)
        self.experts = SparseExperts(channels, experts, top)
        self.merge = Pointwise(modalities * channels, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        tokens = self._tokens(features, available)
        told = self.experts(self.norm_experts(tokens).flatten(0, 2)).reshape(tokens.shape)
        joint = (tokens + told).permute(0, 2, 3, 1).flatten(1, 2)
        return self.merge(joint.reshape(list(joint.shape[:2]) + list(features.shape[3:])))

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``routing`` and ``balance``; 0 where no subject is incomplete, and where none is complete."""
        tokens = self.norm_experts(self._tokens(given.features, given.available))
        scores = self.experts.router(tokens).flatten(1, 2)
        number, complete = combination(given.available), given.available.all(1)
        incomplete = given.available.any(1) & ~complete
        own = 1 + (number - 1) % (scores.shape[2] - 1)
        wrong = functional.cross_entropy(
            scores.transpose(1, 2), own.unsqueeze(1).expand(scores.shape[:2]), reduction="none"
        )
        # A mean over studies, so that several processes learn as one does.
        routing = wrong.mean(1).masked_fill(~incomplete, 0.0).mean()
        shares = self.experts.gates(scores).sum(1)
        balance = unevenness(shares[complete].sum(0)) + unevenness(shares[incomplete, 1:].sum(0))
        return {"routing": routing, "balance": balance}

    def _tokens(self, features: Tensor, available: Tensor) -> Tensor:
        """What the experts read before its norm, (batch, voxel, modality, channel)."""
        absent = expand(self.bank[combination(available) - 1], features)
        filled = torch.where(expand(available, features), self.embed(features), absent.to(features.dtype))
        tokens = flatten_space(filled, 3).permute(0, 3, 1, 2)
        normal = self.norm_attention(tokens).flatten(0, 1)
        every = torch.ones_like(normal[:, :, 0], dtype=torch.bool)
        return tokens + self.attention(normal, normal, every).reshape(tokens.shape)


class SparseExperts(nn.Module):
    """MLPs of which each token is read by the few that score highest for it.

    Args:
        channels: numbers of a token.
        experts: how many.
        top: of them for each token.
    """

    def __init__(self, channels: int, experts: int, top: int) -> None:
        super().__init__()
        self.top = top
        self.router = nn.Linear(channels, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))
            for _ in range(experts)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn (token, channel) into the weighted sum of what its experts tell."""
        gates = self.gates(self.router(tokens))
        told = torch.zeros_like(tokens)
        for e, expert in enumerate(self.experts):
            rows = torch.nonzero(gates[:, e]).squeeze(1)
            share = gates[rows, e].unsqueeze(1)
            told = told.index_add(0, rows, (share * expert(tokens[rows])).to(told.dtype))
        return told

    def gates(self, scores: Tensor) -> Tensor:
        """Softmax of the highest scores (..., expert), zero for the others."""
        highest, which = scores.topk(self.top, dim=-1)
        return torch.zeros_like(scores).scatter(-1, which, highest.softmax(-1).to(scores.dtype))


def unevenness(load: Tensor) -> Tensor:
    """Squared coefficient of variation of a few numbers; 0 where all are."""
    if len(load) < 2:
        return load.sum() * 0
    return load.var() / (load.mean().square() + 1e-10)
