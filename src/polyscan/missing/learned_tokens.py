"""A learned token a modality."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from polyscan.fusion.base import expand
from polyscan.missing.base import Imputation


class LearnedTokens(Imputation):
    """f_m = t_m where modality m is missing: a vector that is learned with the network, the same at every position.

    As the mask tokens of masked autoencoders (He et al., CVPR 2022). Trained only by subjects that lack the
    modality: with none in training, add modality dropout.
    """

    STANDS_IN: ClassVar[str] = "a learned vector stands in for its features"

    def add_parts(self, modalities: int, channels: int) -> None:
        self.tokens = nn.Parameter(0.02 * torch.randn(modalities, channels))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        return expand(self.tokens.unsqueeze(0), features).expand_as(features).to(features.dtype)
