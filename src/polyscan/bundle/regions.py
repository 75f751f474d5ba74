"""Whether masks hold what a network is to find in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.study import Study


def check_regions(studies: Sequence[Study], regions: Mapping[str, Sequence[int]]) -> None:
    """Refuse regions of which no study has a voxel where masks hold labels that are of no region.

    They are numbered otherwise than the regions say, as BraTS numbers them since 2023: Dice would be 0, and the network
    learn to find nothing. A region that lacks in masks of known labels may not be there, as tumours do not all enhance.
    Masks are read until each region was seen, which most often is in the first.

    Args:
        studies: those that are learnt from and watched.
        regions: name to the labels of the mask that belong to it.

    Raises:
        PolyscanError: there is such a region.
    """
    held: set[int] = set()
    for study in studies:
        if study.label.mask is not None:
            held |= set(np.unique(read_nifti(study.label.mask).round().int().numpy()).tolist())
        if all(held & set(labels) for labels in regions.values()):
            return
    strange = held - {0, *(label for labels in regions.values() for label in labels)}
    for name, labels in regions.items():
        if strange and not held & set(labels):
            raise PolyscanError(
                f"No mask of {len(studies)} studies has a voxel of {name!r} (labels {_told(labels)}), but there are "
                f"labels of no region: {_told(strange)}; set regions to what the masks hold."
            )


def _told(labels: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(labels)))
