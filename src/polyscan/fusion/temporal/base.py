"""What every temporal layer is: a fusion layer whose modalities are time points, told the days between them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, expand, mask_absent


class TemporalFusion(FusionLayer):
    """Join the features of one patient at several times.

    A layer writes ``fuse_days``. Only differences between days count, so that any day may be called zero; the
    order in which the time points are given does not matter except where a layer says so; time points of one day then
    count as their mean.

    Args:
        modalities: number of time points.
        channels, spatial_dims: see :class:`FusionLayer`.
    """

    joins: ClassVar[str] = "time points"

    def forward(self, features: Tensor, available: Tensor, days: Tensor | None = None) -> Tensor:
        """Join time points.

        Args:
            features: (batch, time point, channel, *spatial).
            available: (batch, time point) bool.
            days: (batch, time point) when each was, in days; what stands at absent time points is not read. Where
                not given, or NaN at a time point of the row, 0, 1, 2 and so on.

        Returns:
            (batch, channel, *spatial), unchanged by whatever stands in absent time points; zero in a row that has none.

        Raises:
            ValueError: a shape is not the one that the layer was made for.
        """
        self.check(features, available)
        counted = torch.arange(self.modalities, dtype=torch.float64, device=features.device)
        if days is None:
            days = counted
        elif days.shape != available.shape:
            raise ValueError(f"days have shape {list(days.shape)}; expected {list(available.shape)}.")
        else:
            days = torch.where((torch.isfinite(days) | ~available).all(1, keepdim=True), days, counted)
        first = torch.where(available, days, float("inf")).amin(1, keepdim=True)
        since = torch.where(available, days - first, 0.0)
        some = available.any(1, keepdim=True)
        fused = self.fuse_days(mask_absent(features, available), available | ~some, since)
        return fused.masked_fill(~expand(some, fused), 0.0)

    def fuse_days(self, features: Tensor, available: Tensor, days: Tensor) -> Tensor:
        """Join time points; ``features`` and ``days`` are zero where absent, days count from the earliest there is."""
        raise NotImplementedError


def earliest(days: Tensor, available: Tensor) -> Tensor:
    """Which time points (batch, time point) are the earliest that is there: several where days are tied."""
    days = days.masked_fill(~available, float("inf"))
    return available & (days == days.amin(1, keepdim=True))


def latest(days: Tensor, available: Tensor) -> Tensor:
    """As :func:`earliest`, the latest; ``days`` are from 0 up, and 0 where absent."""
    return available & (days == days.amax(1, keepdim=True))
