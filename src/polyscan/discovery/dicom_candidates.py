"""What the DICOM files of one patient in one session are: scans, and regions that were drawn on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

from pydicom import Dataset

from polyscan.dicom.attributes import text
from polyscan.dicom.grouping import group
from polyscan.dicom.own import is_own_answer
from polyscan.dicom.series import Series
from polyscan.dicom.usual import far_from_usual, is_cone_beam, is_phase_or_energy, is_roughly_reconstructed
from polyscan.discovery.candidate import Candidate, coarsely
from polyscan.discovery.labels import drawn_on
from polyscan.study import Source


def dicom_candidates(
    folder: Path, members: Iterable[tuple[Path, Dataset]], unread: Mapping[Path, str], beside: Mapping[Path, int]
) -> list[Candidate]:
    """What files of one patient in one session are; whose they are is left open.

    Args:
        folder: the one that is scanned.
        members: the files and their headers.
        unread: files beside them that cannot be read, with the reason.
        beside: folder of a file to the number of DICOM files in it, whosever they are.
    """
    members = list(members)
    drawn = [(path, header) for path, header in members if _is_label(header)]
    images = group((item for item in members if not _is_label(item[1])), unread)
    found = [_of_image(folder, series, beside) for series in images]
    for path, header in drawn:
        own = is_own_answer(header)
        on, reason = (None, "is an answer of polyscan, which nobody corrected") if own else drawn_on(header, images)
        image = next((scan for scan, series in zip(found, images, strict=False) if series is on), None)
        modality, source = (image.modality, image.source) if image else (None, None)
        name = path.relative_to(folder).as_posix()
        found.append(Candidate("", None, modality, reason, str(path), name, label=True, on=source))
    return found


def _is_label(header: Dataset) -> bool:
    return text(header, "Modality") in ("RTSTRUCT", "SEG")


def _of_image(folder: Path, series: Series, beside: Mapping[Path, int]) -> Candidate:
    header, files = series.headers[0], series.files
    parents = {path.parent for path in files}
    name = min(parents).relative_to(folder).as_posix()
    if series.volume:
        source: Source = [f"{path}#{series.volume}" for path in files]
    elif len(parents) == 1 and beside[min(parents)] == len(files):
        source = str(min(parents))
    else:
        source = [str(path) for path in files]
    if isinstance(source, list):
        more = f" and {len(source) - 1} more" if len(source) > 1 else ""
        name = f"{Path(source[0]).relative_to(folder).as_posix()}{more}"
    # Frames of one scan that are series of their own have one SeriesTime.
    moment = " ".join([text(header, "SeriesDate") + text(header, "SeriesTime"), text(header, "AcquisitionTime")])
    moment += f" {series.passes[0]:06d}"
    slices = len(series.slices)
    # Of passes of one contrast the last, but of T1 the first: a contrast agent may have been given meanwhile.
    is_later = series.modality == "T1" and series.passes[0] > 1
    repaired = series.where.problems() if series.where else []
    notes = [*series.notes, *([f"its slices lie in {len(parents)} folders"] if len(parents) > 1 else [])]
    if series.modality == "CT" and is_phase_or_energy(header):
        notes.append("it is one phase of a cycle or one of two energies, which no average of its study goes before")
    if series.modality == "CT" and is_cone_beam(header):
        notes.append("it is of a cone beam or megavoltage CT, whose values are hardly Hounsfield units")
    return Candidate(
        "",
        None,
        series.modality,
        "; ".join([f"{series.reason}, {slices} slices", *repaired, *notes[len(series.notes) :]])
        if series.modality
        else series.reason,
        source,
        name,
        rank=(
            far_from_usual(header, series.modality) + is_later,
            coarsely(series.voxel),
            -slices,
            is_roughly_reconstructed(header),
            tuple(255 - ord(letter) for letter in moment),
        ),
        frame=series.frame_of_reference,
        day=_day(text(header, "StudyDate") or text(header, "SeriesDate")),
        shape=series.shape,
        affine=series.affine,
        notes=notes,
        meant=series.meant,
    )


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
