"""Whether masks hold what a network is to find in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.study import Study


def check_regions(studies: Sequence[Study], regions: Mapping[str, Sequence[int]]) -> None:
    """Refuse regions of which no study has a voxel: their Dice would be 0, and the network learn to find none.

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
    for name, labels in regions.items():
        if not held & set(labels):
            raise PolyscanError(
                f"No mask of {len(studies)} studies has a voxel of {name!r} (labels {', '.join(map(str, labels))}; the "
                f"masks hold {', '.join(map(str, sorted(held - {0}))) or 'none'}); set regions to what they hold."
            )
