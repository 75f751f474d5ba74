"""Write DICOM files, and numbers in them, under pydicom 2 or 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.valuerep import format_number_as_ds


def save_dicom(data: Dataset, path: Path) -> None:
    """Write a file with its preamble and meta information, as its transfer syntax says."""
    if int(pydicom.__version__.split(".")[0]) >= 3:
        data.save_as(path, enforce_file_format=True)
        return
    if data.is_little_endian is None:  # it was not read from a file or a server
        syntax = data.file_meta.TransferSyntaxUID
        data.is_little_endian, data.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
    data.save_as(path, write_like_original=False)


def item(**attributes: Any) -> Dataset:
    """An item of a sequence, of attributes by their keywords."""
    made = Dataset()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def decimal(value: float) -> str:
    """A number as a decimal string (PS3.5 6.2), as near as its 16 characters come."""
    return format_number_as_ds(float(value))
