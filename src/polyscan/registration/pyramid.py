"""One image at several resolutions, and points of it: made once, for every pair that the image is part of."""

from __future__ import annotations

import numpy as np
import torch

from polyscan.registration.mutual_information import SamplePoints, sampled
from polyscan.registration.otsu import otsu
from polyscan.registration.volume import Volume

_GRAYS = 64


class Pyramid:
    """An image and what is made of it on demand.

    Args:
        volume: the image at its own resolution.
    """

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._averaged: dict[float, Volume] = {}
        self._smoothed: dict[float, Volume] = {}
        self._sample_points: dict[tuple[float, bool, int, int], SamplePoints] = {}

    def level(self, spacing: float, *, smooth: bool) -> Volume:
        """The image averaged to about ``spacing`` mm, and smoothed by a binomial of three voxels where wanted.

        Not along slices of more than twice that: they are blurred by themselves.
        """
        if spacing not in self._averaged:
            finer = max((s for s in self._averaged if s <= spacing / 2), default=None)
            source = self.volume if finer is None else self._averaged[finer]
            self._averaged[spacing] = source.shrunk(spacing)
        if not smooth:
            return self._averaged[spacing]
        if spacing not in self._smoothed:
            self._smoothed[spacing] = self._averaged[spacing].smoothed(2 * spacing)
        return self._smoothed[spacing]

    def sample_points(self, spacing: float, count: int, seed: int, *, smooth: bool) -> SamplePoints:
        """Points of the image at a level."""
        key = (spacing, smooth, count, seed)
        if key not in self._sample_points:
            self._sample_points[key] = sampled(self.level(spacing, smooth=smooth), count, seed)
        return self._sample_points[key]

    def mass_centre(self, spacing: float) -> np.ndarray:
        """(3,) centre of what is brighter than Otsu's threshold at a level, in millimetres."""
        volume = self.level(spacing, smooth=True)
        grays = torch.where(torch.isfinite(volume.values), volume.gray(volume.values.nan_to_num(0.0))[0], -1.0)
        counts = torch.histc(grays[grays >= 0], _GRAYS, 0, 1).double().cpu().numpy()
        air = otsu(counts, (np.arange(_GRAYS) + 0.5) / _GRAYS)
        body = (grays > (air + 1) / _GRAYS).nonzero().double().cpu().numpy()
        return volume.to_point @ np.append(body.mean(0)[::-1], 1.0) if len(body) else volume.centre
