"""Where an output may lie: apart from scans, and not within what another command wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.numbered import numbered
from polyscan.files.owned import MARKER
from polyscan.files.packed import archive_of
from polyscan.study import paths_in
from polyscan.study.sources import SOURCES, read_sources

_DERIVED = "derivatives"


def check_apart(path: Path, sources: Iterable[str | Path], scanned: str | Path | None) -> None:
    """Refuse a place that is, holds or lies in a folder of the scans, or of those that prepared ones were made from.

    Args:
        path: to write to.
        sources: files and folders that are read.
        scanned: the folder in which they were found, whose ``derivatives`` BIDS keeps for what is made of them.

    Raises:
        PolyscanError: it is such a place.
    """
    checked: set[Path] = set()
    for source in sources:
        folder = _folder_of(Path(source))
        if folder is None or folder in checked:
            continue
        checked.add(folder)
        _check_outside(path, folder)
        _check_behind(path, folder, checked)
    if scanned is not None:
        _check_beside(path, Path(scanned))


def check_lasting(path: Path) -> None:
    """Refuse a place within what another command wrote, and removes where it is given again.

    Raises:
        PolyscanError: the place is such a one. What the other command keeps for this very output is not.
    """
    target = path.resolve()
    for folder in target.parents:
        if (folder / MARKER).is_file():
            owner = owner_of(folder)
            name = target.relative_to(folder).parts[0]
            if name in owner.get("holds", []) and folder / name != target:
                raise PolyscanError(
                    f"{path} lies in what polyscan {owner.get('command')} wrote to {folder}, and would go with it; "
                    "name another place."
                )
            return


def owner_of(folder: Path) -> dict[str, Any]:
    """What the marker of a folder that polyscan wrote says of it."""
    content = read_json(folder / MARKER)
    return content if isinstance(content, dict) else {"command": "something else"}


def _check_outside(path: Path, folder: Path) -> None:
    target, real = path.resolve(), folder.resolve()
    if target == real or target in real.parents or real in target.parents:
        how = "is" if target == real else "holds" if target in real.parents else "lies in"
        raise PolyscanError(
            f"{path} {how} {folder}, which holds scans that are read; name a folder apart from the scans."
        )


def _check_beside(path: Path, scanned: Path) -> None:
    """Refuse a place among the patients in the folder that was scanned."""
    derived = (scanned / _DERIVED).resolve()
    if derived not in (path.resolve(), *path.resolve().parents):
        _check_outside(path, scanned)


def _folder_of(source: Path) -> Path | None:
    """Of a folder itself, of a file where it lies, of what is gone none."""
    if not source.exists():
        return None
    return source if source.is_dir() else source.parent


def _check_behind(path: Path, folder: Path, checked: set[Path]) -> None:
    """The same of the scans that a prepared study was made from, by the list that lies above it."""
    for listed in (place / SOURCES for place in (folder, *folder.parents[:2])):
        if listed in checked or not listed.is_file():
            continue
        checked.add(listed)
        try:
            known = read_sources(listed)
        except PolyscanError:  # a file of that name that is none of ours tells nothing
            continue
        every = [source for study in known.studies.values() for source in (*study.scans.values(), study.label)]
        paths = {numbered(name)[0] for source in every if source for name in paths_in(source)}
        folders = {_folder_of(archive_of(path) or path) for path in paths}
        for found in sorted(found for found in folders - checked if found is not None):
            checked.add(found)
            _check_outside(path, found)
        if known.scanned is not None:
            _check_beside(path, Path(known.scanned))
