"""The features of those in a memory that are nearest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import MakeFusion
from polyscan.fusion.blocks import flatten_space
from polyscan.fusion.concatenation import Concatenation
from polyscan.missing.base import Imputation


class NearestImputation(Imputation):
    """f_m = mean of f_m over the k positions of a memory whose features of what is there are nearest.

    Imputation by nearest neighbours (Troyanskaya et al., Bioinformatics 17, 2001), for features that are learned: the
    memory holds positions of training subjects who have all modalities, the latest in place of the oldest. Without
    such a subject nothing but zeros stands in.

    Args:
        modalities, channels, spatial_dims, fusion, auxiliary_weights: see :class:`MissingStrategy`.
        neighbours: k.
        memory: positions that are kept.

    Raises:
        ValueError: there are more neighbours than the memory keeps, or none.
    """

    if TYPE_CHECKING:  # TorchScript reads what is annotated here, and knows no text
        memory: Tensor
        kept: Tensor

    STANDS_IN: ClassVar[str] = "the mean of its features where the others are most alike stands in"

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        fusion: MakeFusion = Concatenation,
        auxiliary_weights: Mapping[str, float] | None = None,
        neighbours: int = 8,
        memory: int = 512,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, fusion=fusion, auxiliary_weights=auxiliary_weights)
        if not 0 < neighbours <= memory:
            raise ValueError(f"{neighbours} neighbours of a memory of {memory}; expected from 1 to {memory}.")
        self.neighbours = neighbours
        self.register_buffer("memory", torch.zeros(memory, modalities, channels))
        self.register_buffer("kept", torch.tensor(0))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        """See :class:`Imputation`; in training, subjects who have all modalities go into the memory afterwards."""
        positions = flatten_space(features.detach(), 3).permute(0, 3, 1, 2).float()
        filled = positions.clone()
        for row, given in enumerate(available):
            if not given.all() and self.kept > 0:
                filled[row] = torch.cat([self._nearest(part, given) for part in positions[row].split(8192)])
        if self.training:
            whole = available.all(1) & (positions != 0).flatten(1).any(1)  # a subject who has none is zeros throughout
            self._remember(positions[whole].flatten(0, 1))
        return filled.permute(0, 2, 3, 1).reshape(features.shape).to(features.dtype)

    def _nearest(self, positions: Tensor, given: Tensor) -> Tensor:
        """Mean of the nearest of the memory, (position, modality, channel), by the modalities that are given."""
        known = self.memory[: int(self.kept)]
        distance = torch.cdist(positions[:, given].flatten(1), known[:, given].flatten(1))
        nearest = distance.topk(min(self.neighbours, len(known)), dim=1, largest=False).indices
        return known[nearest].mean(1)

    def _remember(self, positions: Tensor) -> None:
        """Put some of (position, modality, channel) first, an eighth of the memory at most, and drop the oldest."""
        size = len(self.memory)
        chosen = positions[torch.randperm(len(positions), device=positions.device)[: max(size // 8, 1)]]
        self.memory.copy_(torch.cat([chosen, self.memory])[:size])
        self.kept.copy_((self.kept + len(chosen)).clamp(max=size))
