"""Files that are packed, read where they lie: those in a zip archive, named as if it were a folder, and gzip files."""

from __future__ import annotations

import gzip
import io
import zipfile
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

ERRORS = (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError)
"""What reading a damaged, encrypted or strangely compressed file may raise; zlib's own errors beside them."""


def archive_of(path: Path) -> Path | None:
    """The zip archive that a path is or leads into, as ``ward/anna.zip/CT/001.dcm``; None where there is none."""
    if ".zip" not in str(path).lower():  # a tree may have millions of files
        return None
    found = (each for each in (path, *path.parents) if each.suffix.lower() == ".zip")
    return next((each for each in found if each.is_file()), None)


def not_fetched(start: bytes) -> bool:
    """Whether a file's first bytes are those of a pointer, in whose place Git LFS or git-annex fetched no data yet."""
    return start.startswith((b"version https://git-lfs", b"/annex/objects/"))


def is_packed(path: Path) -> bool:
    """Whether a file has to be unpacked to be read."""
    return path.suffix.lower() == ".gz" or archive_of(path) is not None


def open_binary(path: Path) -> BinaryIO:
    """Open a file to read, packed or not.

    Raises:
        OSError: it is not there or may not be read, or one of :data:`ERRORS`.
    """
    archive = archive_of(path)
    if archive is not None:
        opened, members = _opened(str(archive), archive.stat().st_mtime_ns)
        member = members.get(path.relative_to(archive).as_posix())
        if member is None:
            raise FileNotFoundError(f"{path.name} is not in the archive")
        inside = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, opened.open(member)), 1 << 16))
        return cast(BinaryIO, gzip.open(inside)) if path.suffix.lower() == ".gz" else inside
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def members_of(path: Path) -> tuple[list[Path], dict[Path, str]]:
    """The files of an archive, or of a folder in one, and those that are left out with the reason."""
    archive = archive_of(path)
    assert archive is not None
    try:
        _, members = _opened(str(archive), archive.stat().st_mtime_ns)
    except ERRORS:
        return [], {archive: "a zip archive that is damaged: copy it again"}
    files, left = [], {}
    for name, member in members.items():
        file = archive / name
        if path not in (file, *file.parents):
            continue
        if ".." in file.parts:
            left[file] = "a path that leads out of its zip archive: unpack it first"
        elif any(part.startswith((".", "__MACOSX")) for part in file.relative_to(archive).parts):
            left[file] = "hidden"
        elif member.flag_bits & 1:
            left[file] = "encrypted in its zip archive: unpack it first"
        else:
            files.append(file)
    return files, left


@lru_cache(maxsize=16)
def _opened(archive: str, _changed: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """An archive that stays open, since each look into it takes its whole list, and what it holds."""
    opened = zipfile.ZipFile(archive)
    named = (
        (PurePosixPath(member.filename.lstrip("/")), member) for member in opened.infolist() if not member.is_dir()
    )
    return opened, {name.as_posix(): member for name, member in named}
