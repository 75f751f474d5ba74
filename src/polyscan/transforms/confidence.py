"""How sure a mask is, as one number a region."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from monai.config import KeysCollection

from polyscan.inference import soft_dice_confidence
from polyscan.transforms.each_key import EachKeyTransform
from polyscan.transforms.regions import Regions


class SoftDiceConfidenced(EachKeyTransform):
    """Say how sure the mask of each region is, see :func:`polyscan.inference.soft_dice_confidence`.

    Args:
        keys: probabilities (region, x, y, z).
        regions: see :data:`polyscan.transforms.regions.Regions`.
        threshold: from which on a voxel is marked.
        allow_missing_keys: as in MONAI.

    Adds ``confidence``: region to a number from 0 to 1; of those that are marked.
    """

    def __init__(
        self, keys: KeysCollection, regions: Regions, threshold: float, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.regions = regions
        self.threshold = threshold

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        probabilities = data[key].as_tensor()
        each = soft_dice_confidence(probabilities, probabilities >= self.threshold)
        told = zip(self.regions, each.tolist(), strict=True)
        data["confidence"] = {name: round(sure, 4) for name, sure in told if sure == sure}  # NaN is none
