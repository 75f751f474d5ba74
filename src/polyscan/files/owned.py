"""Files that are made anew time and again, of which only what polyscan wrote is ever replaced or removed.

A hidden list names each file that was written, with the SHA-256 of its content. What is not as it was written, or not
listed, is somebody's own: a mask that was corrected by hand, a manifest, notes. It stays; where a file of polyscan is
about to take its name it makes way, as ``sub-01_pred_corrected.nii.gz``, and that is said.

A folder of its own, as that of a prepared study, has one list. Of what shares a folder, as the answers for studies,
each has a list: it is a *group*, which one process at a time writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from polyscan.files.atomic import atomic_write_folder, read_json, temporary_folder, write_json
from polyscan.files.digest import sha256

MARKER = ".polyscan.json"
"""In a folder that a command wrote: which, and what it holds."""
LIST = ".polyscan-files"
"""What the names of lists begin with."""


@contextmanager
def replace_owned(path: str | Path, last: str = "", group: str = "") -> Iterator[Path]:
    """Give a temporary folder; when the block succeeds, what it holds takes the place of what is owned.

    A new folder appears whole. In one that is there, what is owned goes first and the new files come one by one, each
    whole, ``last`` at the end. A file that somebody changed stays in its place if what was written is what is to be
    written again, so that nothing changed that the correction was made of.

    Args:
        path: the folder.
        last: the file that says that all others are there.
        group: of what shares the folder with others.
    """
    path = Path(path)
    if not path.exists() and not group:
        with atomic_write_folder(path) as temporary:
            yield temporary
            note_owned(temporary)
        return
    with temporary_folder(path / group if group else path) as temporary:
        yield temporary
        new = {name: sha256(temporary / name) for name in _files(temporary)}
        listed = _listed(path, group)
        changed = _changed(path, listed)
        stays = {name for name in changed if new.get(name) == listed[name]}
        listed |= {name: new[name] for name in new.keys() - listed.keys() if _is(path / name, new[name])}
        for name in sorted(({*new} - listed.keys() | changed) - stays):
            _make_way(path / name)
        for name in sorted(listed.keys() - stays, key=lambda name: (name != last, name)):
            (path / name).unlink(missing_ok=True)
        if not group:
            _remove_empty_folders(path)
        path.mkdir(exist_ok=True)
        write_json(_list(path, group), new)
        for name in sorted(new.keys() - stays, key=lambda name: (name == last, name)):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).replace(path / name)


@contextmanager
def rewrite_owned(path: str | Path, group: str = "", names: Collection[str] = ()) -> Iterator[list[str]]:
    """Let what is owned be written in its place inside the block, by what cannot write elsewhere.

    What somebody changed makes way first. The block adds to the list that it is given the names of what it wrote.

    Args:
        path: the folder.
        group: of what shares the folder with others.
        names: of files that no run leaves unlisted, so that one that is not listed makes way too.
    """
    path = Path(path)
    listed = _listed(path, group)
    for name in _changed(path, listed) | (set(names) - listed.keys()):
        _make_way(path / name)
    _list(path, group).unlink(missing_ok=True)  # from here on what is there of these names is begun, and no one's
    written: list[str] = []
    yield written
    note_owned(path, written, group)


@contextmanager
def rewrite_file(path: str | Path, *, listed: bool = False) -> Iterator[None]:
    """Let a file that is a group by itself be written in its place inside the block.

    Args:
        path: the file.
        listed: whether no run leaves it unlisted, see ``names`` of :func:`rewrite_owned`.
    """
    path = Path(path)
    with rewrite_owned(path.parent, path.name, [path.name] if listed else []) as written:
        yield
        written.append(path.name)


def write_script(folder: Path, name: str, lines: Iterable[str]) -> Path:
    """Write a script that a shell runs, a group by itself; returns its path."""
    with replace_owned(folder, group=name) as temporary:
        (temporary / name).write_text("\n".join([*lines, ""]))
        (temporary / name).chmod(0o755)
    return folder / name


def remove_owned(path: Path, group: str = "") -> None:
    """Remove the files of a folder that are owned, and the folder where none is left.

    Args:
        path: the folder.
        group: of what shares the folder with others; the folder stays then.
    """
    listed = _listed(path, group)
    for name in _changed(path, listed):
        _make_way(path / name)
    for name in sorted(listed):
        (path / name).unlink(missing_ok=True)
    _list(path, group).unlink(missing_ok=True)
    if not group:
        _remove_empty_folders(path)
        remove_empty(path)


def remove_files(path: Path, names: Collection[str]) -> None:
    """Remove files of a folder, of whichever groups; one that is on no list was begun by a run that was cut short."""
    for file in path.glob(f"{LIST}*.json") if names else ():
        listed: dict[str, str] = read_json(file)
        gone = {name: written for name, written in listed.items() if name in names}
        for name in _changed(path, gone):
            _make_way(path / name)
        if gone == listed:
            file.unlink()
        elif gone:
            write_json(file, {name: written for name, written in listed.items() if name not in gone})
    for name in names:
        (path / name).unlink(missing_ok=True)


def note_owned(path: Path, names: Collection[str] | None = None, group: str = "") -> None:
    """Write the list of a folder, or of a group in it: these files, or all, are owned, those of them that are there."""
    names = _files(path) if names is None else names
    if listed := {name: sha256(path / name) for name in names if (path / name).is_file()}:
        write_json(_list(path, group), listed)


def remove_empty(folder: Path) -> None:
    """Remove a folder, unless it holds something of somebody's own."""
    with suppress(OSError):
        folder.rmdir()


def _make_way(path: Path) -> None:
    """Rename what is there of this name."""
    if not os.path.lexists(path):
        return
    name, ending = path.name.partition(".")[0], "".join(path.suffixes)
    names = (f"{name}_corrected{number if number > 1 else ''}{ending}" for number in count(1))
    new = next(each for each in map(path.with_name, names) if not os.path.lexists(each))
    path.rename(new)
    print(
        f"{path.name} was changed since polyscan wrote it, or was not written by polyscan; it is kept as {new.name}.",
        file=sys.stderr,
    )


def _changed(path: Path, listed: Mapping[str, str]) -> set[str]:
    """What is there of a list and not as it was written."""
    return {name for name in listed if os.path.lexists(path / name) and not _is(path / name, listed[name])}


def _is(file: Path, written: str) -> bool:
    return file.is_file() and sha256(file) == written


def _list(path: Path, group: str) -> Path:
    return path / (f"{LIST}-{group}.json" if group else f"{LIST}.json")


def _listed(path: Path, group: str) -> dict[str, str]:
    """File to its SHA-256 as it was written."""
    file = _list(path, group)
    return read_json(file) if file.is_file() else {}


def _files(path: Path) -> list[str]:
    every = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(LIST))
    return sorted(file.relative_to(path).as_posix() for file in every)


def _remove_empty_folders(path: Path) -> None:
    for folder in sorted((each for each in path.rglob("*") if each.is_dir()), reverse=True):
        remove_empty(folder)
