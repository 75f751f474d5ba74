"""The sidecar that a converter wrote beside a volume, as a header: what its name leaves open, DICOM told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from polyscan.dicom.attributes import text
from polyscan.dicom.recognise import NOT_KNOWN, agent_given, from_header
from polyscan.dicom.words import UNWEIGHTED, Told, told
from polyscan.discovery.bids import Named
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.endings import stem_of

if TYPE_CHECKING:
    from pydicom import Dataset

# Fields of BIDS that are attributes of DICOM by the same name, and those whose seconds are its milliseconds.
_FIELDS = (
    "Modality", "ImageType", "SeriesDescription", "ProtocolName", "ScanningSequence", "SequenceName",
    "PulseSequenceName", "ComplexImageComponent", "ContrastBolusAgent", "ContrastBolusIngredient",
)  # fmt: skip
_TIMES = ("RepetitionTime", "EchoTime", "InversionTime")


def with_sidecar(found: Named, path: Path) -> Named:
    """What the name of a volume tells, with what its sidecar adds.

    A sidecar tells the modality where the name does not, that a T1 has a contrast agent where the name does not deny
    it, and that an image is no magnitude, or the unweighted one of a diffusion series.
    """
    header = None if found.label else _header_beside(path)
    if header is None or not text(header, "Modality"):
        return found
    modality, reason = from_header(header)
    if found.modality is None or found.by_folder:
        if not found.is_untold or reason.startswith(NOT_KNOWN):
            return found
        if modality is None:
            return replace(found, modality=None, reason=f"{found.reason}, and its sidecar: {reason}")
        return replace(found, modality=modality, by_folder=False, reason=f"its sidecar tells: {reason}")
    if found.modality != "PET" and (reason.startswith("a phase") or reason == UNWEIGHTED):
        return replace(found, modality=None, reason=f"{reason}, in its sidecar")
    denied = "ce" in found.entities or told(stem_of(path.name)).contrast is False
    given = agent_given(header, Told()) if found.modality == "T1" and not denied else None
    return replace(found, modality="T1c", reason=f"{found.reason}; {given} in its sidecar") if given else found


def changed_beside(path: Path) -> int:
    """What differs when what lies beside a volume changes, comes or goes: nanoseconds since 1970, added up."""
    return sum(beside.stat().st_mtime_ns for beside in _beside(path) if beside.is_file())


def _beside(path: Path) -> tuple[Path, Path]:
    """The JSON file and the b-values of a volume."""
    stem = stem_of(path.name)
    return path.with_name(f"{stem}.json"), path.with_name(f"{stem}.bval")


def _header_beside(path: Path) -> Dataset | None:
    """What the JSON file of the same name says of a volume, and a ``.bval`` file of one value; None without one."""
    from pydicom import Dataset
    from pydicom.config import disable_value_validation

    sidecar, values = _beside(path)
    if not sidecar.is_file():
        return None
    try:
        content = read_json(sidecar)
    except PolyscanError:  # said where a field of it is needed
        return None
    if not isinstance(content, dict):
        return None
    header = Dataset()
    with disable_value_validation():  # a text may be longer than DICOM's
        for name in _FIELDS:
            said = content.get(name)
            if isinstance(said, str):
                said = said.split("_") if name == "ScanningSequence" else [said]
            if isinstance(said, list) and all(isinstance(each, str) for each in said):
                setattr(header, name, said)
    for name in _TIMES:
        if isinstance(content.get(name), (int, float)):
            setattr(header, name, 1000 * content[name])
    b = values.read_text("utf-8", "replace").split() if values.is_file() else []
    if len(b) == 1 and b[0].replace(".", "", 1).isdecimal():
        header.DiffusionBValue = float(b[0])
    return header
