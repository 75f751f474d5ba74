"""Windows of physical values, such as HU and SUV, to the range that a network reads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection

from polyscan.transforms.each_key import EachKeyTransform


class ScaleModalitiesd(EachKeyTransform):
    """Map a window of physical values to [-1, 1], modality by modality; values outside it are clipped.

    Args:
        keys: images (modality, *spatial).
        modalities: order of the channels.
        windows: modality to its (lowest, highest) value, in HU, SUV or whatever unit it has; others stay as they are.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str],
        windows: Mapping[str, Sequence[float]],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.windows = {m: windows[name] for m, name in enumerate(modalities) if name in windows}

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = data[key].clone()
        for m, (low, high) in self.windows.items():
            image[m] = ((image[m] - low) / (high - low) * 2 - 1).clamp(-1, 1)
        data[key] = image
