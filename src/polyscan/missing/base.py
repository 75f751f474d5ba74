"""What every strategy is: a fusion layer around another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.fusion.base import FusionLayer, MakeFusion, expand, mask_absent
from polyscan.fusion.concatenation import Concatenation


class MissingStrategy(FusionLayer):
    """A fusion layer around another one, which it asks in its own way where modalities are missing.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`. The auxiliary loss of the layer
            within is trained too, by itself.
        fusion: makes the layer within, ``fusion(modalities, channels, spatial_dims)``.

    Raises:
        PolyscanError: the layer within joins something else than features.

    Attributes:
        STANDS_IN: what the page of a study says of a modality that was missing; empty where nothing stands in for it.
    """

    STANDS_IN: ClassVar[str] = ""

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        fusion: MakeFusion = Concatenation,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        made = fusion(modalities, channels, spatial_dims)
        if made.joins != "features":
            raise PolyscanError(
                f"{type(made).__name__} joins {made.joins}; {type(self).__name__} stands around a layer of features."
            )
        self.fusion = made
        self.add_parts(modalities, channels)

    def add_parts(self, modalities: int, channels: int) -> None:
        """Make what the strategy has beside the layer within; called once, by the constructor."""


class Imputation(MissingStrategy):
    """Features of modalities that are missing are imputed; the layer within is told that all are there."""

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        filled = torch.where(expand(available, features), features, self.impute(features, available))
        return self.fusion(filled, torch.ones_like(available))

    def impute(self, features: Tensor, available: Tensor) -> Tensor:
        """What stands in for each modality (batch, modality, channel, *spatial); used where it is missing.

        Args:
            features: (batch, modality, channel, *spatial), zero where missing.
            available: (batch, modality) bool.
        """
        raise NotImplementedError


def hide_each(features: Tensor, available: Tensor) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Hide each modality in turn, to learn it from the others.

    Args:
        features: (batch, modality, channel, *spatial), zero where missing.
        available: (batch, modality) bool.

    Yields:
        The index of the modality that is hidden; features and availability of the others; and (batch) bool: which
        subjects have it and another one. For a subject without another one all are said to be available.
    """
    for m in range(available.shape[1]):
        rest = available.clone()
        rest[:, m] = False
        enough = rest.any(1)
        rest = rest | ~enough[:, None]
        yield m, mask_absent(features, rest), rest, available[:, m] & enough


def mean_over(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of (batch, ...) over some rows; 0 where there are none."""
    return values.flatten(1).mean(1).masked_fill(~rows, 0.0).sum() / rows.sum().clamp(min=1)
