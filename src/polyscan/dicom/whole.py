"""What headers tell against slices: of their number, since nothing else tells of lost ends, their place and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import number, numbers, terms, text

if TYPE_CHECKING:
    from polyscan.dicom.slices import Slice

_AS_WIDE = 0.05
_UPRIGHT = 1.0  # degrees
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
    order = sorted({n for each in slices if (n := number(each.header, "InstanceNumber")) is not None})
    if len(slices) == len(beside) == len(order) and not said:
        if _skips(slices, order):
            numbered = f"InstanceNumber runs from {order[0]:g} to {order[-1]:g}"
            said.append(f"{numbered} in {len(slices)} slices: some may be missing")
        elif order[0] > 1 and order[-1] - order[0] < len(slices):
            said.append(f"InstanceNumber begins at {order[0]:g}: slices may be missing at one end")
    if len({text(each.header, "FrameOfReferenceUID") for each in slices}) > 1:
        said.append("FrameOfReferenceUID differs between slices: they may not lie in one place")
    if len({text(each.file, "SeriesInstanceUID") for each in slices}) > 1:
        said.append("each slice has a SeriesInstanceUID of its own: put together by what else tells a series")
    if len({text(each.file, "StudyInstanceUID") for each in slices}) > 1:
        said.append("each slice has a StudyInstanceUID of its own: taken as of one study")
    zeros = {number(each.header, "RescaleIntercept") for each in slices}
    if len(zeros) > 1 and text(slices[0].header, "Modality") == "CT":
        said.append("RescaleIntercept differs between slices: their values may not have one zero")
    directions = _each(slices, "ImageOrientationPatient", 6)
    if np.ptp(directions, axis=0).max() > _PARALLEL:
        said.append("ImageOrientationPatient differs between slices: they were taken as parallel")
    tilt = number(slices[0].header, "GantryDetectorTilt") or 0.0
    if abs(tilt) > _UPRIGHT and not _leans(slices, directions[0]):
        said.append(
            f"GantryDetectorTilt is {tilt:g} degrees, which positions and orientation of the slices do not show: they "
            "may be sheared"
        )
    if any(text(each.header, "LossyImageCompression") == "01" for each in slices):
        said.append("the pixels were compressed with loss: values are not quite those that were measured")
    return said


def _skips(slices: Sequence[Slice], order: Sequence[float]) -> bool:
    """Whether numbers skip slices: here and there, or always as many as would lie in the steps between those here.

    Numbers that count others too, such as echoes, skip always as many, and the steps are as wide as slices are thick.
    """
    strides = np.diff(order)
    if len(strides) == 0 or strides.max() == 1:
        return False
    origins = _each(slices, "ImagePositionPatient", 3)
    step = np.median(np.linalg.norm(np.diff(origins, axis=0), axis=1))
    usual = number(slices[0].header, "SpacingBetweenSlices") or number(slices[0].header, "SliceThickness") or 0.0
    return bool(np.ptp(strides) > 0 or np.isclose(step, strides[0] * abs(usual), rtol=_AS_WIDE))


def _leans(slices: Sequence[Slice], direction: np.ndarray) -> bool:
    """Whether slices are tilted from upright ones of a lying patient, or lie aslant over each other."""
    origins = _each(slices, "ImagePositionPatient", 3)
    between = origins[-1] - origins[0]
    aslant = np.stack([np.cross(direction[:3], direction[3:]), between / (np.linalg.norm(between) or 1.0)])
    return bool((np.abs(aslant[:, 2]) < np.cos(np.deg2rad(_UPRIGHT))).any())


def _each(slices: Sequence[Slice], name: str, count: int) -> np.ndarray:
    """(slice, count) numbers of an attribute."""
    return np.array([numbers(each.header, name, count) for each in slices], dtype=float)


def _counts(slices: Sequence[Slice], beside: Sequence[Dataset]) -> list[tuple[str, str, float | None, int]]:
    """Attribute, what it counts, its value and how many there are."""
    first = slices[0].header
    original = "ORIGINAL" in terms(first, "ImageType")  # else it is that of the source
    files = len({each.path for each in slices})
    return [
        ("NumberOfSlices", "slices", number(first, "NumberOfSlices"), len(slices)),
        ("InConcatenationTotalNumber", "files", number(first, "InConcatenationTotalNumber"), files),
        ("ImagesInAcquisition", "images", number(first, "ImagesInAcquisition") if original else None, len(beside)),
    ]
