"""The headers of DICOM files, their pixels left on disk, and which files that should have one cannot be read."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscan.dicom.attributes import text
from polyscan.dicom.pixels import THREADS
from polyscan.files.packed import ERRORS, is_packed, open_binary

if TYPE_CHECKING:
    from pydicom import Dataset

DAMAGED = "is damaged: no DICOM file, unlike those beside it"
_LEFT_ON_DISK = 4096  # bytes of an attribute
_START = 32_768  # bytes of a file
_AT_ONCE = 256  # files
_PIXEL_DATA = 0x7FE00010
_PREAMBLE = 128
_STORED_CLASS = (0x0002, 0x0002)
_DICOMDIR = "1.2.840.10008.1.3.10"  # an index of files, which is no image
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
    headers: list[tuple[Path, Dataset]] = []
    others: dict[Path, str] = {}
    for path, read in read_each(files):
        if read.header is not None:
            headers.append((path, read.header))
        else:
            others[path] = read.reason
    return headers, _judged(headers, others)


@dataclass(frozen=True)
class Read:
    """What a file turned out to be.

    Attributes:
        header: of a file that is DICOM.
        reason: of another as in :func:`read_files`, but for what only the files beside it tell.
        start: the bytes that hold the header, for :func:`header_from`; empty where it is longer than most.
    """

    header: Dataset | None
    reason: str
    start: bytes


def read_each(files: Iterable[Path]) -> Iterator[tuple[Path, Read]]:
    """The header of one file after another, in the order given; only a few are held at a time."""
    files = iter(files)
    # Threads wait for the disk; they would only hinder each other at the parsing, which holds the interpreter.
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(files, _AT_ONCE)):
            for path, (start, unread) in zip(some, pool.map(_start, some), strict=True):
                header, reason = _header(path, start, unread)
                yield path, Read(header, reason, b"" if header is None else _holding(header, start))


def header_from(path: Path, start: bytes) -> Dataset | None:
    """The header of a file, without its pixels, from the bytes that :class:`Read` kept of it; else from the file."""
    if not start:
        return _header(path, *_start(path))[0]
    return _header(path, start, "", kept=True)[0]


def _holding(header: Dataset, start: bytes) -> bytes:
    """Those bytes of a file's start that its header lies in, none where it goes on behind them."""
    elements: dict[Any, Any] = dict(header.items())  # as they stand in the file, not fetched from the disk
    end = getattr(elements.get(_PIXEL_DATA), "value_tell", None)
    if end is None:
        return start if len(start) < _START else b""
    return start[:end] if end <= len(start) else b""


def _judged(headers: list[tuple[Path, Dataset]], others: dict[Path, str]) -> dict[Path, str]:
    """What is no DICOM but has the ending of DICOM files beside it is damaged."""
    endings = {(path.parent, path.suffix.lower()) for path, _ in headers if path.suffix}
    return {
        path: reason or (DAMAGED if (path.parent, path.suffix.lower()) in endings else "")
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
    return start, "" if start else "is empty"


def _header(path: Path, start: bytes, reason: str, kept: bool = False) -> tuple[Dataset | None, str]:
    import pydicom

    marked = start[_PREAMBLE : _PREAMBLE + 4] == b"DICM"
    syntax = None if marked else _bare_syntax(start)
    if reason or not (marked or syntax):
        return None, reason
    try:
        if kept:
            size = None if is_packed(path) else _LEFT_ON_DISK
            header = pydicom.dcmread(io.BytesIO(start), stop_before_pixels=True, defer_size=size, force=not marked)
            # What was left on disk is read from there when it is asked for.
            header.buffer, header.filename, header.fileobj_type = None, str(path), open
        elif is_packed(path):
            with open_binary(path) as file:
                header = pydicom.dcmread(file, stop_before_pixels=True, force=not marked)
        else:
            header = pydicom.dcmread(path, defer_size=_LEFT_ON_DISK, force=not marked)
        if text(header, "SOPClassUID"):
            if not text(header.file_meta, "TransferSyntaxUID"):
                header.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax or pydicom.uid.ImplicitVRLittleEndian)
            return header, ""
        index = text(header.file_meta, _STORED_CLASS) == _DICOMDIR
        return None, "is damaged: its DICOM header has no SOPClassUID" if marked and not index else ""
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
