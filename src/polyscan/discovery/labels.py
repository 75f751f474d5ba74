"""Which scan an RTSTRUCT or a DICOM SEG was drawn on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import items, numbers, text, words
from polyscan.dicom.series import Series

_ON_A_SLICE = 0.1  # of the step between slices
_MOST_PLANES = 0.9


def drawn_on(label: Dataset, images: Sequence[Series]) -> tuple[Series | None, str]:
    """The scan that a label belongs to, and why; None where none of them, or no single one, can be told.

    By the series that the label refers to, else by the images, else by the frame of reference: then the contours or
    frames must lie in the slices of exactly one scan.

    Args:
        label: the data set of an RTSTRUCT or SEG.
        images: the series of its patient; those without a modality are no scans to draw on.
    """
    kind = text(label, "Modality")
    usable = [series for series in images if series.modality is not None]
    named = set(_series_of(label))
    for series in usable:
        if text(series.headers[0], "SeriesInstanceUID") in named:
            return series, f"{kind} drawn on {series.modality}"
    instances = set(_instances_of(label))
    shown = [sum(text(each.file, "SOPInstanceUID") in instances for each in series.slices) for series in usable]
    if any(shown):
        series = usable[int(np.argmax(shown))]
        return series, f"{kind} drawn on images of {series.modality}"
    frames = set(_frames_of(label))
    near = [series for series in usable if series.frame_of_reference in frames]
    fitting = [series for series in near if _in_slices(label, series)]
    if len(fitting) == 1:
        return fitting[0], f"{kind} in the frame of reference of {fitting[0].modality}, in whose slices it lies"
    why = "names a series that its patient lacks" if named else "names no series"
    if fitting:
        which = ", ".join(str(series.modality) for series in fitting)
        return None, f"{kind} {why} and fits {which}: name its scan as 'drawn_on' of the label in the manifest"
    if near:
        return None, f"{kind} {why} and does not lie in the slices of a scan of its frame of reference"
    return None, f"{kind} {why}, and no scan has its frame of reference"


def _in_slices(label: Dataset, series: Series) -> bool:
    """Whether nearly all contours, or frames of its pixels, lie in slices of a series; so does what has neither."""
    where = series.where
    points = np.array(list(_first_points(label)))
    if where is None or len(points) == 0:
        return where is not None
    spacings = [numbers(measures, "PixelSpacing", 2) for measures in _in_groups(label, "PixelMeasuresSequence")]
    if any(told is not None and not np.allclose(told[::-1], where.spacing, rtol=1e-3) for told in spacings):
        return False
    off = np.abs(points @ where.normal - where.depths[:, None]).min(0)
    return bool((off <= max(_ON_A_SLICE * where.step, 0.05)).mean() >= _MOST_PLANES)


def _first_points(label: Dataset) -> Iterator[list[float]]:
    """A point of each contour, or of each frame of a SEG."""
    contours = [words(contour, "ContourData")[:3] for contour in _contours(label)]
    for told in contours or [words(at, "ImagePositionPatient") for at in _in_groups(label, "PlanePositionSequence")]:
        try:
            point = [float(value) for value in told]
        except ValueError:  # said when the label is read
            continue
        if len(point) == 3:
            yield point


def _contours(label: Dataset) -> Iterator[Dataset]:
    for region in items(label, "ROIContourSequence"):
        yield from items(region, "ContourSequence")


def _referenced(label: Dataset) -> Iterator[Dataset]:
    """The items that each refer to a series."""
    for frame in items(label, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            yield from items(study, "RTReferencedSeriesSequence")
    yield from items(label, "ReferencedSeriesSequence")


def _series_of(label: Dataset) -> Iterator[str]:
    for series in _referenced(label):
        yield text(series, "SeriesInstanceUID")


def _instances_of(label: Dataset) -> Iterator[str]:
    holders = [*_referenced(label), *_contours(label), *_in_groups(label, "DerivationImageSequence")]
    for holder in holders:
        for name in ("ContourImageSequence", "ReferencedInstanceSequence", "SourceImageSequence"):
            for image in items(holder, name):
                yield text(image, "ReferencedSOPInstanceUID")


def _in_groups(label: Dataset, name: str) -> Iterator[Dataset]:
    """The items of a macro of a SEG, of all its frames and of each."""
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(label, groups):
            yield from items(group, name)


def _frames_of(label: Dataset) -> Iterator[str]:
    for name in ("ReferencedFrameOfReferenceSequence", "StructureSetROISequence"):
        for item in items(label, name):
            yield text(item, "FrameOfReferenceUID") or text(item, "ReferencedFrameOfReferenceUID")
    yield text(label, "FrameOfReferenceUID")
