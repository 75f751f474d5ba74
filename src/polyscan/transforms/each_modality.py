"""MONAI's random transforms of intensities, modality by modality, where something was measured."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Randomizable

from polyscan.modality import calibrated_channels
from polyscan.transforms.each_key import EachKeyTransform


class RandEachModalityd(Randomizable, EachKeyTransform):
    """Apply random transforms to each modality by itself, as scanners differ; what was not measured stays NaN.

    MONAI's transforms draw once for all channels, and those that look at a minimum, a mean or a neighbourhood make an
    image NaN as a whole where one voxel of it is.

    Args:
        keys: images (modality, *spatial), NaN where nothing was measured.
        transforms: array transforms of (1, *spatial), such as ``monai.transforms.RandGaussianNoise``. What was not
            measured looks to them like the mean of what was.
        modalities: order of the channels: those whose values have a unit, HU and SUV, are left alone. All are changed
            where not given.
        channels: that each modality has, as three of a colour picture.
        allow_missing_keys: as in MONAI.

    Example:
        >>> blur = RandEachModalityd("image", [RandGaussianSmooth(prob=0.2), RandAdjustContrast(prob=0.3)])
    """

    def __init__(
        self,
        keys: KeysCollection,
        transforms: Sequence[Callable[[Any], Any]],
        *,
        modalities: Sequence[str] = (),
        channels: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        EachKeyTransform.__init__(self, keys, allow_missing_keys)
        self.transforms = list(transforms)
        self.spared = calibrated_channels(modalities)
        self.channels = channels

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Any:
        """Make what follows repeatable."""
        super().set_random_state(seed, state)
        for transform in self.transforms:
            if isinstance(transform, Randomizable):
                transform.set_random_state(seed=int(self.R.randint(2**31)))
        return self

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = data[key].clone()
        values = image.as_tensor() if isinstance(image, MetaTensor) else image
        for m, one in enumerate(values.split(self.channels)):
            known = torch.isfinite(one)
            if bool(known.any()) and m not in self.spared:
                changed: Any = torch.where(known, one, one[known].mean())
                for transform in self.transforms:
                    changed = transform(changed)
                one[known] = torch.as_tensor(changed, dtype=one.dtype)[known]
        data[key] = image
