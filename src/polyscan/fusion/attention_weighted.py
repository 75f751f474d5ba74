"""Attention-weighted fusion: each position asks how much each modality tells there."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer
from polyscan.fusion.blocks import Pointwise, softmax_over


class AttentionWeighted(FusionLayer):
    """e_i = w^T tanh(W_m M_i + b); a = softmax(e) over the available modalities; F = sum_i a_i M_i.

    Additive attention (Bahdanau et al., ICLR 2015, section A.1.2) with modalities in the place of words: M_i is the
    feature vector of modality i at one position, so every position has weights of its own. W_m, b and w are shared
    by all modalities; unchanged by the order of the modalities.

    Args:
        modalities, channels, spatial_dims: see :class:`FusionLayer`.
        hidden: rows of W_m; as many as channels where not given.
    """

    def __init__(self, modalities: int, channels: int, spatial_dims: int = 3, *, hidden: int | None = None) -> None:
        super().__init__(modalities, channels, spatial_dims)
        self.project = Pointwise(channels, hidden or channels)
        self.score = Pointwise(hidden or channels, 1, bias=False)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return (self.weights(features, available).unsqueeze(2) * features).sum(1)

    @torch.jit.export
    def weights(self, features: Tensor, available: Tensor) -> Tensor:
        """The attention a of each modality at each position.

        Args:
            features: (batch, modality, channel, *spatial), finite.
            available: (batch, modality) bool.

        Returns:
            (batch, modality, *spatial), zero where absent, summing to one over modalities.
        """
        energy = self.score(torch.tanh(self.project(features.flatten(0, 1))))
        return softmax_over(energy.unflatten(0, features.shape[:2]).squeeze(2), available)
