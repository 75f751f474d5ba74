"""Whether outputs hold what the headers and the paths of their sources say of a patient."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.numbered import numbered
from polyscan.files.packed import open_binary
from polyscan.study.scan import paths_in
from polyscan.study.sources import SOURCES, Sources, StudySources, find_sources, read_sources

PRIVATE = (SOURCES, "studies.json", "index.sqlite")
"""Files beside outputs that say where they come from."""

# Of the attributes that DICOM PS3.15 annex E has removed, those that tell who, when, where and by whom.
KEYWORDS = (
    "AccessionNumber", "AcquisitionDate", "ContentDate", "DeviceSerialNumber", "FrameOfReferenceUID",
    "InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName", "IssuerOfPatientID",
    "MedicalRecordLocator", "NameOfPhysiciansReadingStudy", "OperatorsName", "OtherPatientIDs", "OtherPatientNames",
    "PatientAddress", "PatientBirthDate", "PatientBirthName", "PatientComments", "PatientID",
    "PatientMotherBirthName", "PatientName", "PatientTelephoneNumbers", "PerformingPhysicianName",
    "PhysiciansOfRecord", "ReferringPhysicianName", "RequestingPhysician", "SOPInstanceUID", "SeriesDate",
    "SeriesInstanceUID", "StationName", "StudyDate", "StudyID", "StudyInstanceUID",
)  # fmt: skip
_SHORTEST = 4  # letters: shorter ones, such as a StudyID of 1, stand everywhere
_PICTURE = re.compile(rb"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]*")
_WORDS = {
    *("anat", "data", "derivatives", "dicom", "image", "images", "label", "labels", "mask", "masks", "nifti"),
    *("scans", "series", "ses", "sub", "truth"),
}


@dataclass(frozen=True)
class Finding:
    """Something private in an output.

    Attributes:
        file: in which it stands.
        what: the attribute, or that it is the name of a file or folder.
        study: of whose sources it is. The value itself is not repeated.
    """

    file: Path
    what: str
    study: str


def check_privacy(out: str | Path, sources: str | Path | None = None) -> list[Finding]:
    """Look in the outputs of a folder for what the headers of their sources hold, and for the names of their files.

    Args:
        out: a folder that ``prepare`` or a later command wrote.
        sources: the ``sources.json`` that ``prepare`` wrote; where not given that of the folder, or of the prepared
            studies that its manifest names.

    Returns:
        What was found. ``sources.json`` itself is not looked into.

    Raises:
        PolyscanError: it is no folder, there is no ``sources.json``, or no source can be read.
    """
    out = Path(out)
    if not out.is_dir():
        raise PolyscanError(f"{out} is no folder; give the one that is to be looked into.")
    known = read_sources(find_sources(out) if sources is None else Path(sources))
    secrets: dict[bytes, tuple[str, str]] = {}
    for key, study in known.studies.items():
        for what, value in _secrets(key, study, known):
            secrets.setdefault(value.lower().encode(), (what, key))
    secrets.setdefault(str(Path.home()).lower().encode(), ("the user's home", "every study"))
    if len(secrets) < 2:
        raise PolyscanError(f"No source of {out} can be read any more, so that there is nothing to look for.")
    every = b"|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True))
    pattern = re.compile(rb"(?<![a-z0-9])(?:" + every + rb")(?![a-z0-9])")
    found: list[Finding] = []
    for file in sorted(path for path in out.rglob("*") if path.is_file() and path.name not in PRIVATE):
        text = str(file.relative_to(out)).encode() + b"\n" + _text(file)
        hits = {secrets[hit] for hit in pattern.findall(text.lower())}
        found += [Finding(file, what, study) for what, study in sorted(hits)]
    return found


def _secrets(key: str, study: StudySources, known: Sources) -> Iterator[tuple[str, str]]:
    """What may not stand in an output, with what it is."""
    every = [*study.scans.values(), *([study.label] if study.label else [])]
    own = re.sub(r"[^a-z0-9]", "", key.lower())
    for source in every:
        for name in paths_in(source):
            path, _ = numbered(name)
            root = next((root for root in known.roots if path.is_relative_to(root)), path.anchor)
            for part in path.relative_to(root).parts:
                stem = part.split(".nii")[0]
                plain = re.sub(r"[^a-z0-9]", "", stem.lower())
                # A subject's folder is the identifier that the user gave.
                if len(stem) >= _SHORTEST and plain not in own and stem.lower() not in _WORDS:
                    yield "the name of a file or folder", stem
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                yield from _of_header(file)


def _of_header(file: Path) -> Iterator[tuple[str, str]]:
    for keyword, value in _header(file).items():
        pieces = [value, *re.split(r"[\^=\\, ]+", value)] if "Name" in keyword or "Physician" in keyword else [value]
        if keyword.endswith("Date") and len(value) == 8:
            pieces.append(f"{value[:4]}-{value[4:6]}-{value[6:]}")
        for piece in pieces:
            if len(piece.strip()) >= _SHORTEST:
                yield keyword, piece.strip()


def _header(file: Path) -> dict[str, str]:
    """The attributes of a DICOM file, or of the JSON beside a volume; nothing of what is neither."""
    import pydicom

    beside = file.with_name(re.sub(r"\.nii(\.gz)?$", "", file.name) + ".json")
    if beside.is_file() and beside != file:
        content: Any = read_json(beside)
        return {k: str(content[k]) for k in KEYWORDS if k in content} if isinstance(content, dict) else {}
    try:
        with open_binary(file) as stream:
            header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(KEYWORDS))
        return {k: str(header[k].value or "") for k in KEYWORDS if k in header}
    except Exception:  # no DICOM: what it is has been said when it was scanned
        return {}


def _text(file: Path) -> bytes:
    """What of a file is text: of a volume its header, of a page all but the pictures."""
    if file.name.endswith(".nii.gz"):
        with gzip.open(file) as stream:
            return stream.read(4096)
    return _PICTURE.sub(b"", file.read_bytes())
