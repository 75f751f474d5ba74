"""A dictionary transform that walks over its keys, so that what it does to one entry is all that it holds."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import MapTransform


class EachKeyTransform(MapTransform):
    """A ``monai.transforms.MapTransform`` whose subclass writes ``apply``.

    Args:
        keys: entries that it works on.
        allow_missing_keys: whether one that is not there is passed over, as in MONAI.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Apply it to a copy of the dictionary, key by key."""
        out = dict(data)
        for key in self.key_iterator(out):
            self.apply(out, key)
        return out

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        """Change the dictionary for one of the keys."""
        raise NotImplementedError
