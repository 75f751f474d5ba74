"""Regions are what is predicted and scored; a label map is what is stored. One table says how they belong together."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection

from polyscan.errors import PolyscanError
from polyscan.transforms.each_key import EachKeyTransform

Regions = Mapping[str, Sequence[int]]
"""Region to the label values that it consists of, each inside the one before or apart from it; for glioma
``{"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing tumour": [4]}``."""


class RegionsFromLabeld(EachKeyTransform):
    """Turn a label map (1, *spatial) into one binary channel a region (region, *spatial).

    Where it holds labels of no region, which count as background, a warning says so; where the item has a list
    ``stray_labels``, that gets them instead.

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
        regions = torch.cat([torch.isin(whole, v.to(label.device)) for v in self.values])
        data[key] = regions.to(torch.float32)
        stray = whole[(whole != 0) & ~regions.any(dim=0)].unique().tolist()
        if "stray_labels" in data:
            data["stray_labels"] += stray
        elif stray:
            told = ", ".join(map(str, stray))
            warnings.warn(f"A mask has labels of no region ({told}), which count as background.", stacklevel=2)


def label_map(regions: torch.Tensor, table: Regions) -> torch.Tensor:
    """Paint binary regions (region, *spatial) into one label map (*spatial), in the order of the table.

    A region is painted with the first value that it does not share with the region after it, as ``2`` for the whole
    tumour outside the core.

    Raises:
        PolyscanError: a region has no such value.
    """
    painted = torch.zeros(regions.shape[1:], dtype=torch.uint8, device=regions.device)
    for region, value in zip(regions, painted_values(table), strict=True):
        painted[region > 0] = value
    return painted


def painted_values(table: Regions) -> list[int]:
    """The value that each region is painted with, and errors, as of :func:`label_map`."""
    found = []
    for (name, values), inner in zip(table.items(), [*list(table.values())[1:], []], strict=True):
        own = [value for value in values if value not in inner]
        if not own:
            raise PolyscanError(
                f"Region {name!r} ({', '.join(map(str, values))}) has no label that the region after it lacks, so that "
                "it cannot be told in a label map; name the larger region before the one inside it, in regions."
            )
        found.append(own[0])
    return found
