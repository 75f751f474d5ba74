"""Sort slices into volumes: what belongs together, where it lies, and why it can or cannot be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from polyscan.dicom.apart import FEW, Part, apart, directions, grouped, without_copies
from polyscan.dicom.attributes import items, number, numbers, text, words
from polyscan.dicom.diffusion import b_value
from polyscan.dicom.pixels import read_pixels
from polyscan.dicom.recognise import REFORMATTED, after_contrast, from_header, of_reformat
from polyscan.dicom.slices import Slice, slices_of
from polyscan.dicom.volume import Stack, grid_of, stack
from polyscan.dicom.whole import doubts_of
from polyscan.errors import PolyscanError
from polyscan.modality import MODALITIES

_RINGING = 0.05  # of the voxels: so many may be below zero in a magnitude that was filtered or interpolated
_TIMES = ("NumberOfTimeSlices", "NumberOfTimeSlots", "NumberOfRRIntervals")  # of PET, each 1 where it is static
_PERFUSION = 4  # series in time; three may be phases of a contrast agent
ONE_SLICE = "one slice is no volume"


@dataclass(frozen=True)
class Series:
    """One volume that a folder holds.

    Attributes:
        slices: from the lowest to the highest position along the normal.
        modality: its name, None where it cannot be used.
        reason: why it has this modality, or why it is left out.
        where: the geometry, None where it has none.
        volume: its number, from 1, among the volumes of its files; 0 where it is the only one.
        notes: what was decided about its slices, or is wrong with files beside them.
        shows: of a reformatted series the modality that it was cut out of, and why.
        meant: the modality of one whose slices make no volume.
        passes: which it is, from 1, and of how many of its series that lie at its positions and are of its kind, made
            one after the other or with another tube voltage.
    """

    slices: list[Slice]
    modality: str | None
    reason: str
    where: Stack | None
    volume: int = 0
    notes: tuple[str, ...] = ()
    shows: tuple[str | None, str] = (None, "")
    meant: str | None = None
    passes: tuple[int, int] = (1, 1)

    @property
    def headers(self) -> list[Dataset]:
        """The headers of the slices, each as a classic single-frame image has it, without pixels."""
        return [each.header for each in self.slices]

    @property
    def files(self) -> list[Path]:
        """The files, each once."""
        return list(dict.fromkeys(each.path for each in self.slices))

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(x, y, z) of the image of :func:`polyscan.dicom.read.read_series`; None where there is no geometry."""
        return None if self.where is None else self._grid(self.where)[0]

    @property
    def affine(self) -> np.ndarray | None:
        """The (4, 4) affine of that image to RAS+ millimetres; None where there is no geometry."""
        return None if self.where is None else self._grid(self.where)[1]

    def _grid(self, where: Stack) -> tuple[tuple[int, int, int], np.ndarray]:
        return grid_of(where, int(self.headers[0].Columns), int(self.headers[0].Rows))

    @property
    def voxel(self) -> float:
        """The volume of a voxel in cubic millimetres; infinite where there is no geometry."""
        return self.where.spacing[0] * self.where.spacing[1] * self.where.step if self.where else float("inf")

    @property
    def frame_of_reference(self) -> str | None:
        """The FrameOfReferenceUID."""
        return text(self.headers[0], "FrameOfReferenceUID") or None

    def noted(self, note: str, advice: str = "") -> Series:
        """This one with a note, which its reason says too, without the advice."""
        told = f"{note}: {advice}" if advice else note
        return replace(self, notes=(*self.notes, told), reason=f"{self.reason}; {note}")

    def refused(self, what: str) -> Series:
        """This one as none that can be used unasked, with what it is."""
        return replace(self, modality=None, reason=f"{what}; to use it name it in the manifest; {self.reason}")


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
    for path, header in found:
        uid = text(header, "SeriesInstanceUID")
        try:
            for each in slices_of(path, header):
                together[_belongs(each)].append(each)
                of_series[uid].append(each.header)
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
    for rule, kind in (
        (_contrast_in_time, _study),
        (_with_lone_reformats, _study),
        (_without_frames, _examination),
        (_without_unknown_b, _series_of_unknown_b),
        (_of_series_in_time, _name_and_place),
        (_of_several_tracers, _study_of_pet),
    ):
        volumes = _by_rule(volumes, rule, kind)
    every = [*_numbered([_of_several_passes(series) for series in volumes]), *without.values()]
    if unread is None:
        return [_without_slices(series, every) for series in every]
    return [_doubted(_beside(_without_slices(series, every), unread), of_series) for series in every]


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
    return (*(text(each.header, name) for name in names), placed)


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


def _by_rule(
    volumes: list[Series], rule: Callable[[list[Series]], list[Series]], kind: Callable[[Series], Hashable | None]
) -> list[Series]:
    """The volumes in their order, all of one kind as a rule changes them together; those of none as they are."""
    changed: dict[int, Series] = {}
    for of_kind, members in grouped(enumerate(volumes), lambda member: kind(member[1])).items():
        places, together = zip(*members, strict=True)
        changed |= zip(places, together if of_kind is None else rule(list(together)), strict=True)
    return [changed[place] for place in range(len(volumes))]


def _study(series: Series) -> str:
    return text(series.headers[0], "StudyInstanceUID")


def _contrast_in_time(study: list[Series]) -> list[Series]:
    """T1 that was acquired after a contrast agent was given, in the same study, is T1c."""
    told = after_contrast([(series.headers, series.modality, series.reason) for series in study])
    return [
        replace(series, modality="T1c", reason=f"{series.reason}; {reason}") if reason else series
        for series, reason in zip(study, told, strict=True)
    ]


def _with_lone_reformats(study: list[Series]) -> list[Series]:
    """Take the reformats of a contrast of which the study has no other series.

    Not those that seem to be T1 where there is T1c: reformats often lack what tells of the contrast agent.
    """
    known = {series.modality for series in study}
    known |= {"T1"} if "T1c" in known else set()
    taken = f"{REFORMATTED}, taken since no other series of the study is"
    return [
        replace(series, modality=series.shows[0], reason=f"{taken} {series.shows[0]}; {series.shows[1]}")
        if series.shows[0] and series.shows[0] not in known and series.where is not None and len(series.slices) > 1
        else series
        for series in study
    ]


def _without_frames(pets: list[Series]) -> list[Series]:
    """No frame of a dynamic or gated PET is the static image; the user may name the one that is meant."""
    told = [number(series.headers[0], name) or 1 for series in pets if _in_time(series) for name in _TIMES]
    count = int(max(len(pets), *told)) if told else len(pets)
    if count == 1:
        return pets
    which = [f"frame {k} of {count}" if len(pets) == count else f"one of {count} frames" for k in range(1, count + 1)]
    what = "of a dynamic or gated PET, which is no static image"
    return [series.refused(f"{frame} {what}") for frame, series in zip(which, pets, strict=False)]


def _of_several_passes(series: Series) -> Series:
    """No pass of a CT is the CT: contrast agent flows or the heart beats; of MR it is said, as the last is taken."""
    which, count = series.passes
    if count == 1 or series.modality in (None, "PET"):
        return series
    if series.modality == "CT":
        return series.refused(
            f"volume {which} of {count} at the same positions, as of a dynamic or gated CT or of two energies, none of "
            "which is the static image"
        )
    return series.noted(f"volume {which} of {count} of its series, made one after the other at the same positions")


def _without_unknown_b(untold: list[Series]) -> list[Series]:
    """None of several diffusion volumes of a series of which nothing tells the b-value: the first may be b = 0."""
    if len(untold) == 1:
        return untold
    what = f"one of {len(untold)} diffusion volumes of a series of which nothing tells the b-value"
    return [series.refused(what) for series in untold]


def _series_of_unknown_b(series: Series) -> str | None:
    if series.modality != "DWI" or b_value(series.headers[0]) is not None:
        return None
    return text(series.headers[0], "SeriesInstanceUID")


def _of_series_in_time(scans: list[Series]) -> list[Series]:
    """CT of which several others of its study have the name and the positions says so: it may be a perfusion."""
    times = {text(series.headers[0], "AcquisitionTime") for series in scans} - {""}
    if len(times) < _PERFUSION:
        return scans
    note = f"one of {len(times)} CT of its study of one name and place, acquired one after the other"
    return [series.noted(note, advice="check that it is no perfusion") for series in scans]


def _name_and_place(series: Series) -> tuple[str, ...] | None:
    if series.modality != "CT" or series.where is None:
        return None
    names = ("StudyInstanceUID", "SeriesDescription", "FrameOfReferenceUID")
    return *(text(series.headers[0], name) for name in names), str(series.where.origins.round(1).tolist())


def _study_of_pet(series: Series) -> str | None:
    return _study(series) if series.modality == "PET" else None


def _of_several_tracers(pets: list[Series]) -> list[Series]:
    """PET of which another one of the study has another tracer says so, since only one of them is taken."""
    if len({_tracer(series) for series in pets} - {""}) < 2:
        return pets
    return [series.noted("PET of another tracer is in its study: check which one is meant") for series in pets]


def _tracer(series: Series) -> str:
    """What the headers call the tracer, to be compared and not to be said."""
    told = items(series.headers[0], "RadiopharmaceuticalInformationSequence")[:1]
    codes = [code for item in told for code in items(item, "RadiopharmaceuticalCodeSequence")]
    names = [text(code, "CodeValue") for code in codes] + [text(item, "Radiopharmaceutical") for item in told]
    return next(filter(None, names), "")


def _examination(series: Series) -> tuple[str, ...] | None:
    """What the frames of one PET in time have in common; each may be a series of its own."""
    if series.modality != "PET":
        return None
    header = series.headers[0]
    name = "StudyInstanceUID" if _in_time(series) else "SeriesInstanceUID"
    return name, text(header, name), text(header, "FrameOfReferenceUID")


def _in_time(series: Series) -> bool:
    """Whether a PET is one of several by its SeriesType; of static ones time slices are positions of the bed."""
    return not {"DYNAMIC", "GATED"}.isdisjoint(word.upper() for word in words(series.headers[0], "SeriesType"))


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
