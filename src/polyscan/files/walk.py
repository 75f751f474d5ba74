"""Every file under a folder, links followed once, and what could not be entered."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyscan.files.owned import LIST, MARKER
from polyscan.files.packed import archive_of, members_of

_ARCHIVES = {".gz", ".zip", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_BESIDE = {".json", ".tsv", ".csv", ".txt", ".md", ".bval", ".bvec", ".xml", ".pdf"}
_OTHER_IMAGES = {".mnc", ".mif", ".par", ".rec", ".v", ".vtk", ".vti", ".tif", ".tiff", ".head", ".brik", ".nd"}
_OURS = {MARKER, f"{LIST}.json"}
_WRITTEN = "written by polyscan: masks in it may be predictions; scan it by itself"


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, a zip archive, or a folder in one."""
    if path.is_dir():
        return True
    return archive_of(path) is not None and path not in members_of(path)[0]


@dataclass(frozen=True)
class Met:
    """A file under a folder, or what is left out of it.

    Attributes:
        path: as the user names it: links are not resolved.
        left: why it is left out; None of a file that is not.
        size, changed: of the file, or of the archive that it lies in: bytes, and nanoseconds since 1970.
    """

    path: Path
    left: str | None = None
    size: int = 0
    changed: int = 0


def walk(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The files under a folder, as the user names them: links are not resolved, zip archives count as folders.

    Returns:
        The files in the order of their names, and what was left out with the reason: what is hidden, a link to nothing,
        a folder that may not be entered or was met already, or that a command of polyscan wrote.
    """
    files: list[Path] = []
    left: dict[Path, str] = {}
    for met in walked(folder):
        if met.left is None:
            files.append(met.path)
        else:
            left[met.path] = met.left
    return sorted(files), left


def walked(folder: Path) -> Iterator[Met]:
    """What :func:`walk` finds, one by one and in no order across folders: for trees of millions of files."""
    return _unpacked(folder, folder) if archive_of(folder) is not None else _entered(folder, set())


def _entered(folder: Path, met: set[tuple[int, int]]) -> Iterator[Met]:
    try:
        state = folder.stat()
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        may_not = isinstance(error, PermissionError)
        yield Met(folder, "a folder that may not be entered" if may_not else f"{error.strerror}")
        return
    if met and any(entry.name in _OURS for entry in inside):
        yield Met(folder, _WRITTEN)
        return
    key = (state.st_dev, state.st_ino)
    if key in met:
        yield Met(folder, "a link to a folder that was met already")
        return
    met.add(key)
    # Real folders first, so that what a link also leads to keeps its own name.
    for entry in sorted(inside, key=lambda entry: entry.is_symlink()):
        path = folder / entry.name
        if entry.name.startswith("."):
            yield Met(path, "hidden")
            continue
        if (legible := os.fsencode(entry.name).decode("utf-8", "replace")) != entry.name:
            yield Met(folder / legible, "a name that is not written in UTF-8, as old systems write names: rename it")
            continue
        try:
            if entry.is_dir():
                yield from _entered(path, met)
            elif entry.is_file() and path.suffix.lower() == ".zip":
                yield from _unpacked(path)
            elif entry.is_file():
                state = entry.stat()
                yield Met(path, size=state.st_size, changed=state.st_mtime_ns)
            elif entry.is_symlink() and not path.exists():
                yield Met(path, "a link to nothing: its data were not fetched")
            else:
                yield Met(path, "no file and no folder")
        except OSError as error:
            may_not = isinstance(error, PermissionError)
            yield Met(path, "may not be read: no permission" if may_not else f"cannot be read: {error.strerror}")


def _unpacked(path: Path, scanned: Path | None = None) -> Iterator[Met]:
    files, left = members_of(path)
    written = {each.parent for each in (*files, *left) if each.name in _OURS} - {scanned}
    files = [each for each in files if written.isdisjoint(each.parents)]
    left = {each: reason for each, reason in left.items() if written.isdisjoint(each.parents)}
    left |= {each: _WRITTEN for each in written if written.isdisjoint(each.parents)}
    archive = archive_of(path)
    assert archive is not None
    state = archive.stat()
    for file in files:
        yield Met(file, size=state.st_size, changed=state.st_mtime_ns)
    if not files and not left:
        left = {path: "an empty zip archive"}
    for each, reason in left.items():
        yield Met(each, reason)


def account(folder: Path, left: Iterable[tuple[Path, str]]) -> list[dict[str, Any]]:
    """What was left out, as decisions: one for each reason and ending in a folder, with the number of entries.

    Args:
        folder: the one that was walked.
        left: files and folders with the reason, empty for files that are no scan.
    """
    alike: dict[tuple[str, str, str], tuple[Path, int]] = {}  # the first, and how many
    for path, reason in left:
        ending = path.suffix.lower()
        where = path.parent.relative_to(folder).as_posix() if path != folder else "."
        told = reason or _what_it_is(path)
        # Tables and texts are many and lie everywhere: they are counted for the whole folder.
        key = ("" if not reason and ending in _BESIDE else where, ending, told)
        first, count = alike.get(key, (path, 0))
        alike[key] = (min(first, path), count + 1)
    return [
        {"series": _name(folder, where, first, count), "modality": None, "taken": False, "reason": reason}
        for (where, _, reason), (first, count) in sorted(alike.items())
    ]


def _name(folder: Path, where: str, first: Path, count: int) -> str:
    if count == 1:
        return first.relative_to(folder).as_posix() if first != folder else "."
    pattern = f"*{first.suffix.lower()}" if first.suffix else "files and folders without an ending"
    return f"{where + '/' if where not in ('', '.') else ''}{pattern} ({count})"


def _what_it_is(path: Path) -> str:
    """What a file is that is neither DICOM nor a volume that is read, by its ending."""
    ending = path.suffix.lower()
    if ending in _ARCHIVES:
        kind = "a compressed file that holds no DICOM" if ending == ".gz" else f"a {ending} archive, which is not read"
        return f"{kind}: if there are scans in it, unpack it first"
    if ending in _OTHER_IMAGES:
        return f"an image in a format that is not read ({ending}): convert it to NIfTI"
    if ending in _BESIDE:
        return "no image: a table, a text or what belongs to an image"
    return f"no image that is known: its ending is {ending}" if ending else "no image that is known"
