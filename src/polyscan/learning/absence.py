"""Take whole inputs away in training, so that a network learns to do without them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandAbsentd(MapTransform, RandomizableTransform):
    """Make an entry NaN throughout, as though it had not been recorded.

    For clinical variables beside scans: where a table tells much by itself, a network does not learn to look.

    Args:
        keys: tensors.
        prob: probability, for each entry on its own.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0 <= prob < 1:
            raise ValueError(f"prob is {prob}; expected 0 <= prob < 1.")
        self.drop = prob

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a copy in which what was taken away is NaN."""
        out = dict(data)
        for key in self.key_iterator(out):
            if self.R.random() < self.drop:
                out[key] = torch.full_like(out[key], torch.nan)
        return out
