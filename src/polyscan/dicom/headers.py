"""The headers of DICOM files, their pixels left on disk, and which files that should have one cannot be read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from polyscan.dicom.attributes import text
from polyscan.dicom.header_bytes import LEFT_ON_DISK, PIXEL_DATA, PREAMBLE, header_in
from polyscan.dicom.pixels import THREADS
from polyscan.files.packed import ERRORS, is_packed, not_fetched, open_binary

DAMAGED = "is damaged: no DICOM file, unlike those beside it"
_START = 32_768  # bytes of a file
_LONGER = 8 * _START  # that hold a header with what vendors put into theirs
_AT_ONCE = 256  # files
_TOGETHER = 16  # of them are read by one thread before it takes others
_STORED_CLASS = (0x0002, 0x0002)
_DEFLATED = "1.2.840.10008.1.2.1.99"
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
            together = [some[k : k + _TOGETHER] for k in range(0, len(some), _TOGETHER)]
            for paths, begun in zip(together, pool.map(_starts, together), strict=True):
                for path, file in zip(paths, begun, strict=True):
                    yield path, _read(path, file)


def header_from(path: Path, start: bytes) -> Dataset | None:
    """The header of a file, without its pixels, from the bytes that :class:`Read` kept of it; else from the file."""
    if not start:
        return _read(path, _begun(path)).header
    found = None if is_packed(path) else header_in(start, str(path))
    return found[0] if found else _by_pydicom(path, start, kept=True)[0]


def _read(path: Path, file: _Begun) -> Read:
    if file.reason:
        return Read(None, file.reason, b"")
    if not_fetched(file.start):
        return Read(None, "is a pointer of Git LFS or git-annex: its data were not fetched", b"")
    found = None if file.size is None else header_in(file.start, str(path), file.size)
    if not found and file.size is not None and file.size > _START and file.start[PREAMBLE : PREAMBLE + 4] == b"DICM":
        longer = _begun(path, _LONGER)
        found = header_in(longer.start, str(path), file.size)
    if found and text(found[0], "SOPClassUID"):
        return Read(found[0], "", file.start[: found[1]] if found[1] <= len(file.start) else b"")
    header, reason = _by_pydicom(path, file.start)
    return Read(header, reason, b"" if header is None else _holding(header, file.start))


def _holding(header: Dataset, start: bytes) -> bytes:
    """Those bytes of a file's start that its header lies in, none where it goes on behind them."""
    elements: dict[Any, Any] = dict(header.items())  # as they stand in the file, not fetched from the disk
    end = getattr(elements.get(PIXEL_DATA), "value_tell", None)
    if end is None or header.file_meta.TransferSyntaxUID == _DEFLATED:  # where places are those of what it inflates to
        return start if len(start) < _START else b""
    return start[:end] if end <= len(start) else b""


def _judged(headers: list[tuple[Path, Dataset]], others: dict[Path, str]) -> dict[Path, str]:
    """What is no DICOM but has the ending of DICOM files beside it is damaged."""
    endings = {(path.parent, path.suffix.lower()) for path, _ in headers if path.suffix}
    return {
        path: reason or (DAMAGED if (path.parent, path.suffix.lower()) in endings else "")
        for path, reason in others.items()
    }


@dataclass(frozen=True)
class _Begun:
    """The beginning of a file, long enough for most headers, and its size where it is not packed; why there is none."""

    start: bytes
    size: int | None
    reason: str


def _starts(paths: Sequence[Path]) -> list[_Begun]:
    return [_begun(path) for path in paths]


def _begun(path: Path, length: int = _START) -> _Begun:
    try:
        with open_binary(path) as file:
            start = file.read(length)
            size = None if is_packed(path) else os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return _Begun(b"", None, "is not there: a link to nothing, or it vanished meanwhile")
    except PermissionError:
        return _Begun(b"", None, "may not be read: no permission")
    except (*ERRORS, zlib.error) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or 'it cannot be decompressed'}"
        return _Begun(b"", None, reason)
    return _Begun(start, size, "" if start else "is empty")


def _by_pydicom(path: Path, start: bytes, kept: bool = False) -> tuple[Dataset | None, str]:
    """The header of a file by pydicom, from bytes of it that hold all of the header if so; why there is none."""
    marked = start[PREAMBLE : PREAMBLE + 4] == b"DICM"
    syntax = None if marked else _bare_syntax(start)
    if not (marked or syntax):
        return None, ""
    try:
        if kept:
            size = None if is_packed(path) else LEFT_ON_DISK
            header = pydicom.dcmread(io.BytesIO(start), stop_before_pixels=True, defer_size=size, force=not marked)
            # What was left on disk is read from there when it is asked for.
            header.buffer, header.filename, header.fileobj_type = None, str(path), open
        elif is_packed(path):
            with open_binary(path) as file:
                header = pydicom.dcmread(file, stop_before_pixels=True, force=not marked)
        else:
            header = pydicom.dcmread(path, defer_size=LEFT_ON_DISK, force=not marked)
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
