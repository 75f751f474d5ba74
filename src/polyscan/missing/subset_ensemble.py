"""A layer of its own for each combination of modalities."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polyscan.errors import PolyscanError
from polyscan.fusion.base import MakeFusion, expand
from polyscan.fusion.blocks import combination
from polyscan.fusion.concatenation import Concatenation
from polyscan.missing.base import MissingStrategy

MOST = 6
"""Modalities; seven would need 127 layers."""


class SubsetEnsemble(MissingStrategy):
    """F = L_S(f_S): the layer of the very combination S that is there, one of 2^n - 1; encoders and head are common.

    Each layer learns from the subjects that have its combination alone, so combinations that are rare in training
    need modality dropout.

    Args:
        modalities: six at most.
        channels, spatial_dims, fusion, auxiliary_weights: see :class:`MissingStrategy`.

    Raises:
        PolyscanError: there are more than six modalities, or the layer within has nothing to learn.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        fusion: MakeFusion = Concatenation,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, fusion=fusion, auxiliary_weights=auxiliary_weights)
        if modalities > MOST:
            raise PolyscanError(
                f"SubsetEnsemble has a layer for each combination; {modalities} modalities would need "
                f"{2**modalities - 1}, expected {MOST} modalities at most."
            )
        if next(self.fusion.parameters(), None) is None:
            raise PolyscanError(
                f"{type(self.fusion).__name__} has no weights, so that a layer for each combination changes nothing; "
                "name one that has, such as --fusion Concatenation."
            )
        # The layer within answers for all modalities; one more for each other combination.
        self.others = nn.ModuleList(fusion(modalities, channels, spatial_dims) for _ in range(2**modalities - 2))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        number = combination(available)
        fused = self.fusion(features, available)
        for k, layer in enumerate(self.others):
            rows = number == k + 1
            if bool(rows.any()):
                fused = torch.where(expand(rows, fused), layer(features, available), fused)
        return fused
