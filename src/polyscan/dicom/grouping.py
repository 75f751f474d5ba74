"""Sort slices into volumes: what belongs together, where it lies, and why it can or cannot be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from polyscan.dicom.apart import FEW, Part, apart, directions, grouped, without_copies
from polyscan.dicom.attributes import number, numbers, text
from polyscan.dicom.pixels import read_pixels
from polyscan.dicom.recognise import from_header, of_image_type, of_reformat
from polyscan.dicom.series import ONE_SLICE, Series
from polyscan.dicom.slices import Slice, slices_of
from polyscan.dicom.study_rules import told_together
from polyscan.dicom.volume import Stack, stack
from polyscan.dicom.whole import doubts_of
from polyscan.dicom.words import REFORMATTED
from polyscan.errors import PolyscanError
from polyscan.modality import MODALITIES

# What tells of a series, and of a study, where its UID does not.
_OF_ONE = {
    "SeriesInstanceUID": (
        "SeriesNumber", "SeriesDescription", "SeriesTime", "PatientID", "StudyDate", "Modality", "Rows", "Columns",
        "ImageType", "ImageOrientationPatient",
    ),
    "StudyInstanceUID": ("PatientID", "StudyDate"),
}  # fmt: skip
FILES_OF_A_SERIES = 5  # more than the single images that scanners put beside series
_RINGING = 0.05  # of the voxels: so many may be below zero in a magnitude that was filtered or interpolated


def group(found: Iterable[tuple[Path, Dataset]], unread: Mapping[Path, str] | None = None) -> list[Series]:
    """Sort files into volumes: one series, one size, one direction, one stack each, and one slice at each position.

    Args:
        found: files and their headers.
        unread: files that cannot be read, with the reason: a problem of the series that lie beside them. None where the
            files are not all that a folder holds, so that nothing is said of slices that are not among them.
    """
    together: dict[Hashable, list[Slice]] = defaultdict(list)
    of_series: dict[str, list[Dataset]] = defaultdict(list)
    without: dict[Hashable, Series] = {}
    found = list(found)
    headers = [header for _, header in found]
    uids = {name: known for name in _OF_ONE if (known := _of_files_alone(headers, name))}
    for path, header in found:
        uid = text(header, "SeriesInstanceUID")
        try:
            for each in slices_of(path, header):
                each = _with(each, uids)
                together[_belongs(each)].append(each)
                of_series[text(each.header, "SeriesInstanceUID")].append(each.header)
        except PolyscanError as error:
            modality, other = from_header(header)
            reason = f"{other}; {error}" if modality is None and number(header, "Rows") else str(error)
            without.setdefault((uid, reason), Series([Slice(header, path, header)], None, reason, None))
    volumes = [
        replace(_series(part, of_series[text(part.slices[0].header, "SeriesInstanceUID")]), passes=(k, len(kind)))
        for slices in together.values()
        for direction in directions(slices)
        for kind in grouped(_parts(direction), lambda part: (part.told, part.refused)).values()
        for k, part in enumerate(kind, start=1)
    ]
    every = [*_numbered(told_together(volumes)), *without.values()]
    if unread is None:
        return [_without_slices(series, every) for series in every]
    return [_doubted(_beside(_without_slices(series, every), unread), of_series) for series in every]


def _of_files_alone(headers: Sequence[Dataset], name: str) -> dict[str, str]:
    """Of series or studies of one file each, which were one before de-identification drew a UID for every file.

    All else that tells one was left as it was; one of its two first attributes must be there.

    Args:
        headers: of all files.
        name: of the UID, in ``_OF_ONE``.

    Returns:
        The UIDs to the first of each.
    """
    files = grouped(headers, lambda header: text(header, name))
    alone = [members[0] for members in files.values() if len(members) == 1]
    return {
        text(header, name): text(members[0], name)
        for told, members in grouped(alone, lambda header: tuple(text(header, each) for each in _OF_ONE[name])).items()
        if any(told[:2]) and len(members) >= FILES_OF_A_SERIES
        for header in members
    }


def _with(each: Slice, uids: Mapping[str, Mapping[str, str]]) -> Slice:
    """A slice with other UIDs, of attributes by name."""
    changed = {name: known[uid] for name, known in uids.items() if (uid := text(each.header, name)) in known}
    if not changed:
        return each
    header = Dataset(dict(each.header.items()))
    for name, uid in changed.items():
        setattr(header, name, uid)
    return replace(each, header=header)


def _parts(slices: list[Slice]) -> list[Part]:
    """The volumes of slices of one direction, each image once; a few that do not tell what their values mean apart."""
    single = without_copies(slices)
    untold = [each for each in single if _lacks_scale(each)]
    if 0 < len(untold) <= len(single) // FEW:
        lone = Part(untold, refused="RescaleSlope or RescaleIntercept is missing, unlike in the other slices")
        return [*_parts([each for each in slices if not _lacks_scale(each)]), lone]
    copies = (
        (f"copies of slices, which are not used: {len(slices) - len(single)}",) if len(single) < len(slices) else ()
    )
    return [replace(part, notes=(*part.notes, *copies)) for part in apart(single)]


def _lacks_scale(each: Slice) -> bool:
    return any(number(each.header, name) is None for name in ("RescaleSlope", "RescaleIntercept"))


def _belongs(each: Slice) -> tuple[Hashable, ...]:
    """What slices of one volume have in common; one without a place does not take the others with it."""
    names = ("SeriesInstanceUID", "SOPClassUID", "Rows", "Columns", "StackID")
    placed = numbers(each.header, "ImagePositionPatient", 3) is not None
    return (*(text(each.header, name) for name in names), of_image_type(each.header), placed)


def _series(part: Part, beside: list[Dataset]) -> Series:
    slices = part.slices
    modality, reason = from_header(slices[0].header, beside)
    shows = of_reformat(slices[0].header, beside) if reason == REFORMATTED else (None, "")
    reason = "; ".join((reason, *part.told, *part.passed, *part.notes))
    try:
        if part.refused:
            raise PolyscanError(part.refused)
        where = _geometry([each.header for each in slices])
    except PolyscanError as error:
        return Series(slices, None, f"{reason}; {error}", None, meant=modality)
    slices = [slices[i] for i in where.order]
    if modality is not None and len(slices) < 2:
        modality, reason = None, f"{reason}; {ONE_SLICE}"
    if modality in MODALITIES and not MODALITIES[modality].signed and _is_negative(slices[len(slices) // 2]):
        modality, reason = None, f"negative values, as of a phase image or a field map, not the magnitude; {reason}"
    return Series(slices, modality, reason, where, notes=part.notes, shows=shows)


def _is_negative(each: Slice) -> bool:
    """Whether many values of a slice are below zero, one value that stands for padding left aside."""
    unsigned = number(each.header, "PixelRepresentation") == 0  # floating point numbers have none
    if unsigned and not (number(each.header, "RescaleIntercept") or 0) < 0:
        return False
    try:
        values = read_pixels([each])
    except PolyscanError:
        return False  # said when it is read
    below = values[values < 0]
    return len(below) > _RINGING * values.size and len(np.unique(below)) > 2


def _without_slices(series: Series, every: Sequence[Series]) -> Series:
    """A volume that can be used, with those slices of its series that can not: it may end where they would follow."""
    if series.modality is None:
        return series
    uid = text(series.headers[0], "SeriesInstanceUID")
    lost = [
        other
        for other in every
        if text(other.headers[0], "SeriesInstanceUID") == uid
        and (other.where is None or other.reason.endswith(ONE_SLICE))
        and from_header(other.headers[0])[0] is not None  # a capture or a scout is no slice that is missed
    ]
    if not lost:
        return series
    why = lost[0].reason.removeprefix(f"{from_header(lost[0].headers[0])[1]}; ").removesuffix(".")
    return series.noted(f"other slices of its series cannot be used, so that slices may be missing ({why})")


def _beside(series: Series, unread: Mapping[Path, str]) -> Series:
    """A series with those files among its own that cannot be read."""
    folders = {path.parent for path in series.files}
    bad = {
        path: reason
        for path, reason in unread.items()
        if path.parent in folders and reason not in ("", "hidden") and path.suffix.lower() != ".zip"
    }
    if not bad or not series.slices:
        return series
    first = min(bad)
    count = f"{len(bad)} of the files beside its slices cannot be read"
    note = f"{count}, so that slices may be missing"  # without names of files, which outputs do not hold
    told = f"{series.reason}; {note} ({first.name}: {bad[first]})"
    return replace(series, notes=(*series.notes, f"{note} ({bad[first]})"), reason=told)


def _doubted(series: Series, of_series: Mapping[str, list[Dataset]]) -> Series:
    """A volume that can be used, with what its headers say of slices that are not here."""
    if series.modality is None:
        return series
    said = doubts_of(series.slices, of_series[text(series.headers[0], "SeriesInstanceUID")])
    for note in said:
        series = series.noted(note)
    return series


def _numbered(volumes: list[Series]) -> list[Series]:
    """Number the volumes whose files hold others too."""
    volumes_of: dict[Path, list[int]] = defaultdict(list)
    for index, series in enumerate(volumes):
        for path in series.files:
            volumes_of[path].append(index)
    return [
        replace(series, volume=_among(index, {i for path in series.files for i in volumes_of[path]}))
        for index, series in enumerate(volumes)
    ]


def _among(index: int, sharing: set[int]) -> int:
    return sorted(sharing).index(index) + 1 if len(sharing) > 1 else 0


def _geometry(headers: Sequence[Dataset]) -> Stack:
    origins = [numbers(header, "ImagePositionPatient", 3) for header in headers]
    directions = [numbers(header, "ImageOrientationPatient", 6) for header in headers]
    spacings = [numbers(header, "PixelSpacing", 2) for header in headers]
    for name, found in (
        ("ImagePositionPatient", origins),
        ("ImageOrientationPatient", directions),
        ("PixelSpacing", spacings),
    ):
        missing = sum(each is None for each in found)
        if missing:
            raise PolyscanError(f"{name} is missing or no number in {missing} of {len(found)} slices; export it again.")
    rows, columns = spacings[0]  # type: ignore[misc]
    thickness = number(headers[0], "SliceThickness") or 1.0
    return stack(np.array(origins), np.mean(np.array(directions), axis=0), (columns, rows), thickness)
