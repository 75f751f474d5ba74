"""A folder that is made anew time and again, in which only what polyscan wrote is ever replaced or removed.

A hidden list in the folder names each file that was written, with the SHA-256 of its content. A file that is not
listed, or is no longer as it was written, is somebody's own: notes, a mask that was corrected by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write_folder, read_json, temporary_folder, write_json
from polyscan.files.digest import sha256

LIST = ".polyscan-files.json"


@contextmanager
def replace_owned(path: str | Path, last: str = "") -> Iterator[Path]:
    """Give a temporary folder beside ``path``; when the block succeeds, what it holds takes the place of what is owned.

    A new folder appears whole. In one that is there, what is owned goes first and the new files come one by one, each
    whole, ``last`` at the end; the files of others stay where they are.

    Args:
        path: the folder.
        last: the file that says that all others are there.

    Raises:
        PolyscanError: a file of somebody's own has the name of one that is to be written; nothing is changed.
    """
    path = Path(path)
    if not path.exists():
        with atomic_write_folder(path) as temporary:
            yield temporary
            note_owned(temporary)
        return
    with temporary_folder(path) as temporary:
        yield temporary
        new = _files(temporary)
        owned = set(_owned(path))
        if taken := [name for name in sorted(new) if name not in owned and os.path.lexists(path / name)]:
            raise PolyscanError(
                f"{path.name}/{taken[0]} was changed since polyscan wrote it, or was not written by polyscan; move it "
                "away and give the same command again."
            )
        remove_owned(path, first=last)
        path.mkdir(exist_ok=True)
        write_json(path / LIST, {name: sha256(temporary / name) for name in new})
        for name in sorted(new, key=lambda name: (name == last, name)):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).replace(path / name)


def remove_owned(path: Path, first: str = "") -> None:
    """Remove the files of a folder that are owned, ``first`` before all others, and the folder where none is left."""
    for name in sorted(_owned(path), key=lambda name: (name != first, name)):
        (path / name).unlink()
    (path / LIST).unlink(missing_ok=True)
    for folder in sorted((each for each in path.rglob("*") if each.is_dir()), reverse=True):
        remove_empty(folder)
    remove_empty(path)


def note_owned(path: Path) -> None:
    """Write the list of a folder: every file in it is owned."""
    write_json(path / LIST, {name: sha256(path / name) for name in _files(path)})


def _files(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file() and file.name != LIST)


def _owned(path: Path) -> list[str]:
    """What is listed and as it was written."""
    listed = read_json(path / LIST) if (path / LIST).is_file() else {}
    return [name for name, said in listed.items() if (path / name).is_file() and sha256(path / name) == said]


def remove_empty(folder: Path) -> None:
    """Remove a folder, unless it holds something of somebody's own."""
    with suppress(OSError):
        folder.rmdir()
