"""Whether masks hold what a network is to find in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti
from polyscan.study import Study
from polyscan.transforms.regions import painted_values


def check_regions(studies: Sequence[Study], regions: Mapping[str, Sequence[int]], *, chosen: bool) -> None:
    """Refuse regions that are not what masks hold, which are numbered otherwise then.

    BraTS has changed its numbers twice: ``3`` is the enhancing tumour since 2023, and ``4`` the resection cavity or a
    child's oedema since 2024. A network would learn to call the one the other, or to find nothing.

    Args:
        studies: those that are learnt from and watched.
        regions: name to the labels of the mask that belong to it.
        chosen: they were set for these masks: what is in none of them is background, and is not looked for.

    Raises:
        PolyscanError: no label map can hold what would be predicted; a mask holds a label that is of no region; of
            chosen ones, no mask has a voxel of a region beside such a label. Where all labels are known a region may
            not be there, as tumours do not all enhance.
    """
    painted_values(regions)
    known = {label for labels in regions.values() for label in labels}
    held: set[int] = set()
    for study in studies:
        if study.label.mask is not None:
            mask = read_nifti(study.label.mask).round().int().numpy()
            held |= set(np.unique(mask[mask != 0]).tolist())
        if chosen and all(held & set(labels) for labels in regions.values()):
            return
        if not chosen and held - known:
            said = "; ".join(f"{name} is {_told(labels)}" for name, labels in regions.items())
            raise PolyscanError(
                f"The mask of {study.key} has labels of no region of this bundle: {_told(held - known)}, where {said}; "
                "set regions to what the masks hold, and leave out what is to be background."
            )
    for name, labels in regions.items():
        if held - known and not held & set(labels):
            raise PolyscanError(
                f"No mask of {len(studies)} studies has a voxel of {name!r} (labels {_told(labels)}), but there are "
                f"labels of no region: {_told(held - known)}; set regions to what the masks hold."
            )


def _told(labels: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(labels)))
