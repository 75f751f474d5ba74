"""Which DICOM objects polyscan wrote, and what they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import Dataset

from polyscan import __version__
from polyscan.dicom.attributes import items, text
from polyscan.files.atomic import atomic_write

VENDOR = "polyscan"
"""Manufacturer and model of what writes the objects."""
EQUIPMENT: dict[str, Any] = {
    "manufacturer": VENDOR,
    "manufacturer_model_name": VENDOR,
    "software_versions": __version__,
    "device_serial_number": "0",
}
"""The same as highdicom takes it (PS3.3 C.7.5.1, C.7.5.2)."""
_ANSWERS = ("SEG", "SR", "RTSTRUCT", "REG", "OT")


def is_own_answer(header: Dataset) -> bool:
    """Whether an object is an answer that polyscan wrote: no image of a made cohort, no mask that a person drew.

    Args:
        header: of any DICOM object.
    """
    drawn = any(text(segment, "SegmentAlgorithmType") != "AUTOMATIC" for segment in items(header, "SegmentSequence"))
    return text(header, "Manufacturer") == VENDOR and text(header, "Modality") in _ANSWERS and not drawn


def save_made(made: Dataset, path: str | Path) -> None:
    """Write an object of highdicom's, whole or not at all.

    Who made its images, and where, which highdicom copies from some version on (type 3), is left out.
    """
    made.pop("ContributingEquipmentSequence", None)
    with atomic_write(path) as temporary:
        made.save_as(temporary)
