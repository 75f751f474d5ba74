"""Whether slices are all that there were, by what headers tell of their number: nothing else tells of lost ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import number, numbers, text, words

if TYPE_CHECKING:
    from polyscan.dicom.slices import Slice

_PARALLEL = 0.002  # a tenth of a degree, which rounding leaves


def doubts_of(slices: Sequence[Slice], beside: Sequence[Dataset]) -> list[str]:
    """What a user should know of the slices of one volume: which may be missing, and whether they lie in one frame.

    Args:
        slices: of the volume.
        beside: the headers of all slices of its series.
    """
    said = [
        f"{name} tells of {told:g} {what} and {found} are here: some may be missing"
        for name, what, told, found in _counts(slices, beside)
        if told is not None and told > found
    ]
    order = sorted(n for each in slices if (n := number(each.header, "InstanceNumber")) is not None)
    alone = len(slices) == len(beside) == len(order) and order[-1] - order[0] == len(slices) - 1
    if alone and not said and order[0] > 1:
        said.append(f"InstanceNumber begins at {order[0]:g}: slices may be missing at one end")
    if len({text(each.header, "FrameOfReferenceUID") for each in slices}) > 1:
        said.append("FrameOfReferenceUID differs between slices: they may not lie in one place")
    directions = np.array([numbers(each.header, "ImageOrientationPatient", 6) for each in slices], dtype=float)
    if np.ptp(directions, axis=0).max() > _PARALLEL:
        said.append("ImageOrientationPatient differs between slices: they were taken as parallel")
    return said


def _counts(slices: Sequence[Slice], beside: Sequence[Dataset]) -> list[tuple[str, str, float | None, int]]:
    """Attribute, what it counts, its value and how many there are."""
    first = slices[0].header
    original = "ORIGINAL" in (word.upper() for word in words(first, "ImageType"))  # else it is that of the source
    files = len({each.path for each in slices})
    return [
        ("NumberOfSlices", "slices", number(first, "NumberOfSlices"), len(slices)),
        ("InConcatenationTotalNumber", "files", number(first, "InConcatenationTotalNumber"), files),
        ("ImagesInAcquisition", "images", number(first, "ImagesInAcquisition") if original else None, len(beside)),
    ]
