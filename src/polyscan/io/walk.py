"""Every file under a folder, links followed once, and what could not be entered."""

from __future__ import annotations

import os
from pathlib import Path


def walk(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """The files under a folder, as the user names them: links are not resolved.

    Returns:
        The files in the order of their names, and what was left out with the reason: what is hidden, a link to nothing,
        a folder that may not be entered or was met already.
    """
    files: list[Path] = []
    left: dict[Path, str] = {}
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
            elif entry.is_file():
                files.append(path)
            else:
                left[path] = (
                    "a link to nothing: its data were not fetched" if entry.is_symlink() else "no file and no folder"
                )
        except OSError as error:
            may_not = isinstance(error, PermissionError)
            left[path] = "may not be read: no permission" if may_not else f"cannot be read: {error.strerror}"
