"""Outputs appear whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` with the same ending; it takes its place when the block succeeds.

    Example:
        >>> with atomic_write("out/image.nii.gz") as temporary:
        ...     nibabel.save(nifti, temporary)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole name goes last so that writers which choose a format by its ending (.nii.gz) still do.
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``, which is new or empty; it takes its place when the block succeeds."""
    path = Path(path)
    with temporary_folder(path) as temporary:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.replace(path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` that is gone at the end of the block, unless it was moved away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".part-{path.name}-", dir=path.parent))
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clear_parts(folder: Path, name: str | None = None) -> None:
    """Remove what a process that was killed left of the file or folder of this name, or of files called ``<name>_``.

    Where no name is given, of everything.
    """
    patterns = [".part-*"]
    if name is not None:
        escaped = glob.escape(name)
        patterns = [f".part-{escaped}-*", f".part-*-{escaped}", f".part-*-{escaped}[._]*"]
    for pattern in patterns:
        for part in folder.glob(pattern):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON that a person can read, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path, *, unique: bool = False) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        unique: whether an object that has one name twice is refused, of which the last would be taken else.

    Raises:
        PolyscanError: the file is not there or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique if unique else None)
    except FileNotFoundError:
        raise PolyscanError(f"{path} does not exist; give the path of an existing JSON file.") from None
    except (OSError, ValueError) as error:
        raise PolyscanError(f"{path} cannot be read as JSON ({error}); write it again.") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose names are different."""
    if len(found := dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"one object has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
