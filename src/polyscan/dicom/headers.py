"""The headers of DICOM files, their pixels left on disk, and which files that should have one cannot be read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from polyscan.dicom.attributes import text
from polyscan.dicom.pixels import THREADS
from polyscan.files.packed import ERRORS, is_packed, open_binary

if TYPE_CHECKING:
    from pydicom import Dataset

_LEFT_ON_DISK = 4096  # bytes of an attribute
_START = 32_768  # bytes of a file
_PREAMBLE = 128
_LATE = 0x0100  # the first element of a data set without meta information comes before this one
_TYPES = (b"UL", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM")  # value representations that the first element may have


def read_headers(files: Iterable[Path]) -> list[tuple[Path, Dataset]]:
    """The headers of those files that are DICOM, their pixels left on disk."""
    return read_files(files)[0]


def read_files(files: Iterable[Path]) -> tuple[list[tuple[Path, Dataset]], dict[Path, str]]:
    """The headers of DICOM files, and of the others why they are none.

    Returns:
        Path and header of each file that is DICOM, in the order given; of each of the others a phrase where it is
        damaged, empty or cannot be opened, an empty text where it is something else.
    """
    files = list(files)
    # Threads wait for the disk; they would only hinder each other at the parsing, which holds the interpreter.
    with ThreadPoolExecutor(THREADS) as pool:
        found = [(path, *_header(path, *start)) for path, start in zip(files, pool.map(_start, files), strict=True)]
    headers = [(path, header) for path, header, _ in found if header is not None]
    return headers, _judged(headers, {path: reason for path, header, reason in found if header is None})


def _judged(headers: list[tuple[Path, Dataset]], others: dict[Path, str]) -> dict[Path, str]:
    """What is no DICOM but has the ending of DICOM files beside it is damaged."""
    endings = {(path.parent, path.suffix.lower()) for path, _ in headers if path.suffix}
    return {
        path: reason
        or (
            "is damaged: no DICOM file, unlike those beside it" if (path.parent, path.suffix.lower()) in endings else ""
        )
        for path, reason in others.items()
    }


def _start(path: Path) -> tuple[bytes, str]:
    """The beginning of a file, long enough that most headers are then in the system's cache; why there is none."""
    try:
        with open_binary(path) as file:
            start = file.read(_START)
    except FileNotFoundError:
        return b"", "is not there: a link to nothing, or it vanished meanwhile"
    except PermissionError:
        return b"", "may not be read: no permission"
    except (*ERRORS, zlib.error) as error:
        return b"", f"cannot be read: {getattr(error, 'strerror', None) or 'it cannot be decompressed'}"
    return start[: _PREAMBLE + 4], "" if start else "is empty"


def _header(path: Path, start: bytes, reason: str) -> tuple[Dataset | None, str]:
    import pydicom

    marked = start[_PREAMBLE:] == b"DICM"
    syntax = None if marked else _bare_syntax(start)
    if reason or not (marked or syntax):
        return None, reason
    try:
        if is_packed(path):
            with open_binary(path) as file:
                header = pydicom.dcmread(file, stop_before_pixels=True, force=not marked)
        else:
            header = pydicom.dcmread(path, defer_size=_LEFT_ON_DISK, force=not marked)
        if text(header, "SOPClassUID"):
            if not text(header.file_meta, "TransferSyntaxUID"):
                header.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax or pydicom.uid.ImplicitVRLittleEndian)
            return header, ""
        return None, "is damaged: its DICOM header has no SOPClassUID" if marked else ""
    except Exception:  # a file that is no DICOM, or a damaged one, fails in many ways
        return None, "is damaged: its DICOM header ends early or makes no sense" if marked else ""


def _bare_syntax(start: bytes) -> str | None:
    """The transfer syntax of a data set without preamble and meta information; None where it is none."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if len(start) < 8:
        return None
    for order, explicit in (("<", ExplicitVRLittleEndian), (">", ExplicitVRBigEndian)):
        group, element, length = struct.unpack(order + "HHI", start[:8])
        if group not in (0x0002, 0x0008) or element >= _LATE:
            continue
        if start[4:6] in _TYPES:
            return str(explicit)
        if order == "<" and length <= _START:
            return str(ImplicitVRLittleEndian)
    return None
