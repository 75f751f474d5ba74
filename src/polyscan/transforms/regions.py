"""Regions are what is predicted and scored; a label map is what is stored. One table says how they belong together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection

from polyscan.transforms.each_key import EachKeyTransform

Regions = Mapping[str, Sequence[int]]
"""Region to the label values that it consists of, each inside the one before or apart from it; for glioma
``{"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing tumour": [4]}``."""


class RegionsFromLabeld(EachKeyTransform):
    """Turn a label map (1, *spatial) into one binary channel a region (region, *spatial).

    Args:
        keys: label maps.
        regions: see :data:`Regions`.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection, regions: Regions, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.values = [torch.tensor(list(values)) for values in regions.values()]

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        label = data[key]
        whole = label.round().long()
        data[key] = torch.cat([torch.isin(whole, v.to(label.device)) for v in self.values]).to(torch.float32)


def label_map(regions: torch.Tensor, table: Regions) -> torch.Tensor:
    """Paint binary regions (region, *spatial) into one label map (*spatial), in the order of the table.

    A region is painted with the value that it does not share with the region after it, as ``2`` for the whole tumour
    outside the core.

    Raises:
        ValueError: a region has no value of its own, or more than one.
    """
    names = list(table)
    painted = torch.zeros(regions.shape[1:], dtype=torch.uint8, device=regions.device)
    for channel, name in enumerate(names):
        inner = set(table[names[channel + 1]]) if channel + 1 < len(names) else set()
        own = set(table[name]) - inner
        if len(own) != 1:
            raise ValueError(f"Region {name!r} is painted with {sorted(own)}; exactly one value of its own is needed.")
        painted[regions[channel] > 0] = own.pop()
    return painted
