"""The sidecar that a converter wrote beside a volume, as a header: what its name leaves open, DICOM told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.config import disable_value_validation

from polyscan.dicom.agent import agent_given
from polyscan.dicom.attributes import text
from polyscan.dicom.diffusion import b_value
from polyscan.dicom.recognise import NOT_KNOWN, from_header
from polyscan.dicom.words import UNWEIGHTED, Told, told
from polyscan.discovery.bids import Named
from polyscan.discovery.channels import listed_in
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.endings import stem_of
from polyscan.formats.sidecars import sidecars_of
from polyscan.modality import MODALITIES

# Fields of BIDS that are attributes of DICOM by the same name.
_FIELDS = (
    "Modality", "ImageType", "SeriesDescription", "ProtocolName", "ScanningSequence", "SequenceName",
    "PulseSequenceName", "ComplexImageComponent", "ContrastBolusAgent", "ContrastBolusIngredient",
    "ConvolutionKernel",
)  # fmt: skip
# Fields whose seconds are milliseconds of DICOM, and the most seconds that any scan has.
_TIMES = {"RepetitionTime": 60.0, "EchoTime": 1.0, "InversionTime": 20.0}


def with_sidecar(found: Named, path: Path) -> Named:
    """What the name of a volume tells, with what its sidecar adds.

    A sidecar tells the modality where the name does not, that a T1 has a contrast agent where the name does not deny
    it, and that an image is no magnitude, or the unweighted one of a diffusion series.
    """
    header = None if found.label else header_beside(path)
    if header is None:
        return found
    if found.modality and not text(header, "Modality"):  # what people write by hand for a whole data set
        header.Modality = MODALITIES[found.modality].dicom
    if not text(header, "Modality"):
        return found
    modality, reason = from_header(header)
    if found.modality is None or found.by_folder:
        if not found.is_untold or reason.startswith(NOT_KNOWN):
            return found
        if modality is None:
            return replace(found, modality=None, reason=f"{found.reason}, and its sidecar: {reason}")
        return replace(found, modality=modality, by_folder=False, reason=f"its sidecar tells: {reason}")
    reason = UNWEIGHTED if found.modality == "DWI" and b_value(header) == 0 else reason
    if found.modality != "PET" and (reason.startswith("a phase") or reason == UNWEIGHTED):
        return replace(found, modality=None, reason=f"{reason}, in its sidecar")
    denied = "ce" in found.entities or told(stem_of(path.name)).contrast is False
    given = agent_given(header, Told()) if found.modality == "T1" and not denied else None
    return replace(found, modality="T1c", reason=f"{found.reason}; {given} in its sidecar") if given else found


def changed_beside(path: Path) -> int:
    """What differs when what lies beside a volume changes, comes or goes: nanoseconds since 1970, added up."""
    files = (*sidecars_of(path), _values_of(path), listed_in(path))
    return sum(file.stat().st_mtime_ns for file in files if file.is_file())


def _values_of(path: Path) -> Path:
    """The file of the b-values of a volume."""
    return path.with_name(f"{stem_of(path.name)}.bval")


def header_beside(path: Path) -> Dataset | None:
    """What the JSON files of a volume say, and a ``.bval`` file of one value, as a header; None without them."""
    values, content = _values_of(path), dict[str, Any]()
    for sidecar in sidecars_of(path):
        try:
            content |= read_json(sidecar)
        except (PolyscanError, TypeError, ValueError):  # said where a field of it is needed
            continue
    if not content and not values.is_file():
        return None
    header = Dataset()
    with disable_value_validation():  # a text may be longer than DICOM's
        for name in _FIELDS:
            said = content.get(name)
            if isinstance(said, str):
                said = said.split("_") if name == "ScanningSequence" else [said]
            if isinstance(said, list) and all(isinstance(each, str) for each in said):
                setattr(header, name, said)
    times = {name: content[name] for name in _TIMES if isinstance(content.get(name), (int, float))}
    unit = 1 if any(time > _TIMES[name] for name, time in times.items()) else 1000  # many write milliseconds
    for name, time in times.items():
        setattr(header, name, unit * time)
    b = values.read_text("utf-8", "replace").split() if values.is_file() else []
    if len(b) == 1 and b[0].replace(".", "", 1).isdecimal():
        header.DiffusionBValue = float(b[0])
    return header
