"""Where windows of a training are drawn about: each lesion as often, and each place that could be taken for one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import ResampleToMatch, Transform

from polyscan.geometry import connected_components

OF_EACH = 256
"""Voxels of a component that windows are drawn about, spread evenly over it."""


class ComponentIndicesd(Transform):
    """Find voxels for ``RandCropByPosNegLabeld`` as MONAI's ``FgBgToIndicesd`` does, as many of each component.

    Drawn by the voxel, one large lesion takes the windows of all small ones, and of a whole body, most of which nobody
    takes for a lesion, little is learnt. Here the foreground are the lesions, each connected one as often, and the
    background are the connected places of high uptake that hold no lesion (brain, kidneys, bladder), each as often;
    without any, it is all that is no lesion.

    Args:
        label_key: regions (region, x, y, z).
        scans_key: modality to the scan on its own grid (1, x, y, z), as :class:`polyscan.transforms.LoadScalesd` adds.
        modality: whose uptake is looked at.
        level: from which on it is high, in the scan's unit.
        smallest: voxels of the label's grid that a place of high uptake has at least.

    Adds ``<label_key>_fg`` and ``<label_key>_bg``: flat indices into the label's grid.
    """

    def __init__(self, label_key: str, scans_key: str, modality: str, level: float, smallest: int = 8) -> None:
        self.label_key = label_key
        self.scans_key = scans_key
        self.modality = modality
        self.level = level
        self.smallest = smallest
        self.resample = ResampleToMatch(mode="bilinear", padding_mode="zeros")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        label = out[self.label_key]
        lesion = (label > 0).any(0).numpy()
        components = _components(lesion)
        places: list[np.ndarray] = []
        if self.modality in out[self.scans_key]:
            scan = out[self.scans_key][self.modality]
            uptake = self.resample(torch.nan_to_num(scan), img_dst=label)[0].numpy()
            found = _components((uptake > self.level) | lesion)
            places = [p for p in found if len(p) >= self.smallest and not lesion.ravel()[p].any()]
        out[f"{self.label_key}_fg"] = _evenly(components)
        out[f"{self.label_key}_bg"] = _evenly(places) if places else np.flatnonzero(~lesion)
        return out


def _components(mask: np.ndarray) -> list[np.ndarray]:
    """The flat indices of each connected component."""
    from scipy.ndimage import value_indices

    places = value_indices(connected_components(mask), ignore_value=0).values()
    return [np.ravel_multi_index(where, mask.shape) for where in places]


def _evenly(components: list[np.ndarray]) -> np.ndarray:
    """As many indices of each component, spread over it."""
    drawn = [c[np.linspace(0, len(c) - 1, OF_EACH).round().astype(int)] for c in components]
    return np.concatenate(drawn) if drawn else np.zeros(0, dtype=int)
