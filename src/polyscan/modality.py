"""What a modality is: its name, the machine that makes it and the unit of its values."""

from __future__ import annotations

from dataclasses import dataclass

from polyscan.errors import PolyscanError
from polyscan.scan_key import ScanKey


@dataclass(frozen=True)
class Modality:
    """One kind of scan.

    Attributes:
        name: the name used as a key everywhere, such as ``"T1c"``.
        dicom: the DICOM Modality (0008,0060) that holds it: ``"MR"``, ``"CT"`` or ``"PT"``.
        unit: what a voxel's value means: ``"HU"``, ``"SUVbw"`` or ``"arbitrary"``.
        suffix: the BIDS entities and suffix of its files, such as ``"ce-gd_T1w"``.
    """

    name: str
    dicom: str
    unit: str
    suffix: str


MODALITIES = {
    m.name: m
    for m in (
        Modality("T1", "MR", "arbitrary", "T1w"),
        Modality("T1c", "MR", "arbitrary", "ce-gd_T1w"),
        Modality("T2", "MR", "arbitrary", "T2w"),
        Modality("FLAIR", "MR", "arbitrary", "FLAIR"),
        Modality("PD", "MR", "arbitrary", "PDw"),
        Modality("STIR", "MR", "arbitrary", "STIR"),
        Modality("T2star", "MR", "arbitrary", "T2starw"),
        Modality("SWI", "MR", "arbitrary", "swi"),
        Modality("DWI", "MR", "arbitrary", "dwi"),
        Modality("ADC", "MR", "arbitrary", "ADC"),
        Modality("CBF", "MR", "arbitrary", "cbf"),
        Modality("CBV", "MR", "arbitrary", "cbv"),
        Modality("CINE", "MR", "arbitrary", "cine"),
        Modality("CT", "CT", "HU", "ct"),
        Modality("PET", "PT", "SUVbw", "pet"),
    )
}


def modality(name: str) -> Modality:
    """Look a modality up by its name or by the key of a scan: that of ``"T1c@2"`` is T1c.

    Raises:
        PolyscanError: no modality has this name.
    """
    try:
        return MODALITIES[ScanKey.parse(name).modality]
    except KeyError:
        raise PolyscanError(f"Modality {name!r} is not known; use one of {', '.join(MODALITIES)}.") from None
