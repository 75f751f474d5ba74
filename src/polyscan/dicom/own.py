"""Which DICOM objects polyscan wrote."""

from __future__ import annotations

from pydicom import Dataset

from polyscan.dicom.attributes import items, text

VENDOR = "polyscan"
"""Manufacturer and model of what writes the objects."""
_ANSWERS = ("SEG", "SR", "RTSTRUCT", "REG", "OT")


def is_own_answer(header: Dataset) -> bool:
    """Whether an object is an answer that polyscan wrote: no image of a made cohort, no mask that a person drew.

    Args:
        header: of any DICOM object.
    """
    drawn = any(text(segment, "SegmentAlgorithmType") != "AUTOMATIC" for segment in items(header, "SegmentSequence"))
    return text(header, "Manufacturer") == VENDOR and text(header, "Modality") in _ANSWERS and not drawn


def leave_out_contributors(made: Dataset) -> None:
    """Take out of an object who made its images, and where, which highdicom copies from some version on (type 3)."""
    made.pop("ContributingEquipmentSequence", None)
