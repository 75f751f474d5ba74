"""Local attention between modalities, aligned globally and locally by contrast (in the style of GLoRIA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from polyscan.fusion.base import FusionLayer, LossInputs, expand
from polyscan.fusion.blocks import PerModality, Pointwise, flatten_space, interpolate_to, mean_of, pooled, tokens_of


class GlobalLocalAlignment(FusionLayer):
    """F = mean over available b of M_b + P c_b, where c_b is what the other modalities hold at the places of b.

    GLoRIA (Huang et al., ICCV 2021) with another scan's regions in the place of words: for a word t of b
    and the regions r of a, w_rt = softmax over r of 4 softmax over t of (a_r . b_t), c_t = sum_r w_rt a_r, averaged
    over the other modalities a. Words and regions are positions of learned projections, averaged over blocks so that
    at most T remain; time n^2 T^2 C, and V n C for V voxels.

    ``auxiliary_loss`` is the paper's: symmetric contrast within a batch, ``global`` of whole scans (10 cos), ``local``
    of words with their contexts (10 log sum_t exp(5 cos)). It is valid only where a row's scans are of one patient.
    Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`.
        tokens: words of each modality at most (T).
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"global": 1.0, "local": 1.0}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        tokens: int = 64,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        self.tokens = tokens
        self.local = PerModality(modalities, channels, channels, bias=False)
        self.whole = PerModality(modalities, channels, channels)
        self.project = Pointwise(channels, channels)

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        coarse = tokens_of(features, self.tokens)
        words = self.local(flatten_space(coarse, 3)).transpose(2, 3)
        fused: list[Tensor] = []
        for b in range(self.modalities):
            found = torch.zeros_like(words[:, b])
            partners = torch.zeros_like(found[:, :1, :1])
            for a in range(self.modalities):
                if a != b:
                    read = available[:, a].to(words.dtype).reshape(-1, 1, 1)
                    found = found + read * context(words[:, a], words[:, b])
                    partners = partners + read
            mean = (found / partners.clamp(min=1)).transpose(1, 2)
            mean = mean.reshape([features.shape[0], self.channels] + list(coarse.shape[3:]))
            told = self.project(mean) * expand((partners > 0).flatten(), mean).to(mean.dtype)
            fused.append(features[:, b] + interpolate_to(told, features[:, b]))
        return mean_of(torch.stack(fused, dim=1), available)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``global`` and ``local`` contrast, averaged over the pairs of modalities that at least two rows have."""
        coarse = flatten_space(tokens_of(given.features, self.tokens), 3)
        words, whole = self.local(coarse).transpose(2, 3), self.whole(pooled(given.features))
        # Every weight takes part in every step, as several processes that learn together need.
        near, far = [words.sum() * 0], [whole.sum() * 0]
        for a in range(self.modalities):
            for b in range(self.modalities):
                rows = given.available[:, a] & given.available[:, b]
                if a == b or rows.sum() < 2:
                    continue
                far.append(contrast(global_scores(whole[rows, a], whole[rows, b])))
                near.append(contrast(local_scores(words[rows, a], words[rows, b])))
        pairs = max(1, len(far) - 1)
        return {"global": torch.stack(far).sum() / pairs, "local": torch.stack(near).sum() / pairs}


def context(regions: Tensor, words: Tensor) -> Tensor:
    """What each word finds in the regions: (batch, region, c) and (batch, word, c) to (batch, word, c)."""
    likeness = torch.softmax(regions @ words.transpose(1, 2), dim=2)
    return torch.softmax(4.0 * likeness, dim=1).transpose(1, 2) @ regions


def global_scores(a: Tensor, b: Tensor) -> Tensor:
    """10 cos between the scans of every two rows, (row, row)."""
    return 10.0 * functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).transpose(0, 1)


def local_scores(regions: Tensor, words: Tensor) -> Tensor:
    """10 log sum over words t of exp(5 cos(word t, its context)), for the regions and words of every two rows."""
    rows = len(words)
    found = context(regions.repeat_interleave(rows, 0), words.repeat([rows, 1, 1]))
    likeness = functional.cosine_similarity(found, words.repeat([rows, 1, 1]), dim=2)
    return 10.0 * torch.logsumexp(5.0 * likeness, dim=1).reshape(rows, rows)


def contrast(scores: Tensor) -> Tensor:
    """Symmetric InfoNCE: each row's partner among all, both ways."""
    target = torch.arange(len(scores), device=scores.device)
    return functional.cross_entropy(scores, target) + functional.cross_entropy(scores.transpose(0, 1), target)
