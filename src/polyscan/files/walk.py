"""Every file under a folder, links followed once, and what could not be entered."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscan.files.packed import archive_of, members_of

_ARCHIVES = {".gz", ".zip", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar"}
_BESIDE = {".json", ".tsv", ".csv", ".txt", ".md", ".bval", ".bvec", ".xml", ".pdf"}
_OTHER_IMAGES = {".mnc", ".mif", ".par", ".rec", ".v", ".vtk", ".vti", ".tif", ".tiff", ".head", ".brik", ".nd"}


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, a zip archive, or a folder in one."""
    if path.is_dir():
        return True
    return archive_of(path) is not None and path not in members_of(path)[0]


def walk(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The files under a folder, as the user names them: links are not resolved, zip archives count as folders.

    Returns:
        The files in the order of their names, and what was left out with the reason: what is hidden, a link to nothing,
        a folder that may not be entered or was met already.
    """
    files: list[Path] = []
    left: dict[Path, str] = {}
    if archive_of(folder) is not None:
        return _unpacked(folder)
    _enter(folder, set(), files, left)
    return sorted(files), left


def _enter(folder: Path, met: set[tuple[int, int]], files: list[Path], left: dict[Path, str]) -> None:
    try:
        state = folder.stat()
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        left[folder] = "a folder that may not be entered" if isinstance(error, PermissionError) else f"{error.strerror}"
        return
    key = (state.st_dev, state.st_ino)
    if key in met:
        left[folder] = "a link to a folder that was met already"
        return
    met.add(key)
    # Real folders first, so that what a link also leads to keeps its own name.
    for entry in sorted(inside, key=lambda entry: entry.is_symlink()):
        path = folder / entry.name
        if entry.name.startswith("."):
            left[path] = "hidden"
            continue
        try:
            if entry.is_dir():
                _enter(path, met, files, left)
            elif entry.is_file() and path.suffix.lower() == ".zip":
                inside_it, out = _unpacked(path)
                files += inside_it
                left |= out
            elif entry.is_file():
                files.append(path)
            else:
                left[path] = (
                    "a link to nothing: its data were not fetched" if entry.is_symlink() else "no file and no folder"
                )
        except OSError as error:
            may_not = isinstance(error, PermissionError)
            left[path] = "may not be read: no permission" if may_not else f"cannot be read: {error.strerror}"


def _unpacked(path: Path) -> tuple[list[Path], dict[Path, str]]:
    files, left = members_of(path)
    return sorted(files), left if files or left else {path: "an empty zip archive"}


def account(folder: Path, left: Mapping[Path, str]) -> list[dict[str, Any]]:
    """What was left out, as decisions: one for each reason and ending in a folder, with the number of entries.

    Args:
        folder: the one that was walked.
        left: files and folders with the reason, empty for files that are no scan.
    """
    alike: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path, reason in left.items():
        ending = path.suffix.lower()
        where = path.parent.relative_to(folder).as_posix() if path != folder else "."
        told = reason or _what_it_is(path)
        # Tables and texts are many and lie everywhere: they are counted for the whole folder.
        alike["" if not reason and ending in _BESIDE else where, f"{ending}\0{told}"].append(path)
    return [
        {"series": _name(folder, where, paths), "modality": None, "taken": False, "reason": key.split("\0")[1]}
        for (where, key), paths in sorted(alike.items())
    ]


def _name(folder: Path, where: str, paths: list[Path]) -> str:
    first = min(paths)
    if len(paths) == 1:
        return first.relative_to(folder).as_posix() if first != folder else "."
    pattern = f"*{first.suffix.lower()}" if first.suffix else "files without an ending"
    return f"{where + '/' if where not in ('', '.') else ''}{pattern} ({len(paths)})"


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
