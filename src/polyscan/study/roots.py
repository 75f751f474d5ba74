"""The roots of a manifest: folders with a name, of which every path in the file begins with one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from polyscan.errors import PolyscanError

HERE, DATA, SCANS = "here", "data", "scans"


def read_roots(written: Mapping[str, str], given: Mapping[str, str | Path], manifest: Path) -> dict[str, str]:
    """Every root of a manifest as an absolute folder; one that the user gives is where the user says.

    Raises:
        PolyscanError: one is an absolute path that the user did not give.
    """
    folders = {name: normalised(root) for name, root in given.items()}
    for name, root in written.items():
        if name in given:
            continue
        if Path(root).is_absolute():
            raise PolyscanError(
                f"{manifest} has its root {name!r} at an absolute path; write it relative to the file, or say where it "
                f"lies with --root {name}=DIR."
            )
        folders[name] = normalised(manifest.resolve().parent / root)
    return folders


def absolute(written: str, roots: Mapping[str, str], where: str) -> str:
    """What a path of a manifest, such as ``scans/STS_002/CT``, means on this machine.

    Args:
        written: the path.
        roots: name to absolute folder.
        where: what to call the place in the error.

    Raises:
        PolyscanError: it does not begin with the name of a root, or leads out of it.
    """
    name, _, rest = written.partition("/")
    if name not in roots or PurePosixPath(rest).is_absolute() or os.path.normpath(rest).startswith(".."):
        raise PolyscanError(
            f"{where} has a path that lies under none of the manifest's roots ({', '.join(roots) or 'it has none'}); "
            "begin it with the name of a root, and say where that lies with --root NAME=DIR."
        )
    return normalised(Path(roots[name]) / rest)


def roots_for(named: Mapping[str, str], paths: Sequence[str], folder: str) -> dict[str, str]:
    """Roots that hold every path: those that have a name, the folder of the manifest, and one for the rest."""
    roots = {name: normalised(root) for name, root in named.items()}
    if folder not in roots.values():
        roots[HERE] = folder
    if any(not _holding(normalised(path), roots) for path in paths):
        roots.pop(DATA, None)  # of the manifest that was read: it grows to hold what lies outside too
        outside = [path for path in map(normalised, paths) if not _holding(path, roots)]
        roots[DATA] = os.path.commonpath([str(Path(path).parent) for path in outside])
    return roots


def within(path: str, roots: Mapping[str, str]) -> tuple[str, str]:
    """The innermost root that holds a path, and the path in it."""
    name = max(_holding(normalised(path), roots), key=lambda name: len(roots[name]))
    return name, relative_to(path, roots[name])


def relative_to(path: str, folder: str) -> str:
    """A path as seen from a folder, with slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()


def normalised(path: str | Path) -> str:
    """An absolute path without ``..``; links are not followed, since sidecars lie beside a link, not its target."""
    return os.path.normpath(Path(path).absolute())


def _holding(path: str, roots: Mapping[str, str]) -> list[str]:
    return [name for name, root in roots.items() if Path(path).is_relative_to(root)]
