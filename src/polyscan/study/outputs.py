"""An output folder has an owner: polyscan replaces or removes only what it wrote itself."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from polyscan import __version__
from polyscan.errors import PolyscanError
from polyscan.files.atomic import clear_parts, read_json, write_json
from polyscan.files.packed import archive_of
from polyscan.study import Source, Study, paths_in
from polyscan.study.manifest import paths_of

MARKER = ".polyscan.json"
LOCK = ".polyscan.lock"


class OutputFolder:
    """A folder that one polyscan command writes, and may write again.

    Its marker, ``.polyscan.json``, names the command and everything directly in the folder that the command wrote or is
    about to write. Nothing else in it is ever replaced or removed.

    Attributes:
        path: absolute.
        command: what writes it, such as ``"prepare"``.
    """

    def __init__(self, path: Path, command: str, holds: Iterable[str]) -> None:
        self.path = path
        self.command = command
        self._holds = set(holds)

    @classmethod
    def claim(cls, path: str | Path, command: str, sources: Iterable[str | Path] = ()) -> OutputFolder:
        """Take a folder that is new, empty, or was made by the same command.

        Args:
            path: the folder; it is made where it does not exist.
            command: what is going to write it.
            sources: files and folders that are read. The folder must not be one of their folders, hold one, or lie in
                one, whichever links lead there.

        Raises:
            PolyscanError: the folder is in the sources' way, or holds what this command did not write.
        """
        path = Path(path)
        _check_apart(path, sources)
        if path.exists() and not path.is_dir():
            raise PolyscanError(f"{path} is a file; name a folder to write to.")
        marker = path / MARKER
        if marker.is_file():
            content = read_json(marker)
            if not isinstance(content, dict) or content.get("command") != command:
                made = content.get("command") if isinstance(content, dict) else "something else"
                raise PolyscanError(f"{path} was made by polyscan {made}; name another folder for polyscan {command}.")
            return cls(path.absolute(), command, content.get("holds", []))
        if path.exists() and (found := sorted(entry.name for entry in path.iterdir())):
            raise PolyscanError(
                f"{path} holds what polyscan {command} did not write ({', '.join(found[:3])}"
                f"{', ...' if len(found) > 3 else ''}); name a new or empty folder to write to."
            )
        return cls(path.absolute(), command, ())

    def will_hold(self, names: Iterable[str]) -> None:
        """List what is about to be written, so that it is polyscan's own even if the run is cut short.

        Args:
            names: of files and folders directly in this one.

        Raises:
            PolyscanError: something of that name is there already and is not polyscan's.
        """
        names = set(names)
        for name in sorted(names - self._holds):
            if os.path.lexists(self.path / name):
                raise PolyscanError(
                    f"{self.path / name} is there already and was not written by polyscan {self.command}; "
                    "move it away or name another folder."
                )
        self._holds |= names
        self._write()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep another run out of the folder inside the block, and clear away what one that was cut short began.

        Raises:
            PolyscanError: another run is writing it.
        """
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / LOCK, timeout=0):
                for name in self._holds:
                    clear_parts(self.path, name)
                yield
        except Timeout:
            raise PolyscanError(
                f"{self.path} is being written by another polyscan {self.command}; wait for it or name another folder."
            ) from None

    def remove_others(self, names: Iterable[str]) -> None:
        """Remove what is listed but has none of these names; where nothing is left, the folder itself."""
        for name in sorted(self._holds - set(names)):
            entry = self.path / name
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
            self._holds.discard(name)
        self._write()
        if not self._holds and {entry.name for entry in self.path.iterdir()} <= {MARKER, LOCK}:
            shutil.rmtree(self.path)

    def _write(self) -> None:
        content = {"polyscan": __version__, "command": self.command, "holds": sorted(self._holds)}
        write_json(self.path / MARKER, content)


def sources_of(studies: Iterable[Study]) -> list[Path]:
    """Every file and folder that studies name; of one in an archive the archive."""
    paths = [Path(path.partition("#")[0]) for study in studies for path in paths_of(study)]
    return [archive_of(path) or path for path in paths]


def fingerprint(sources: Iterable[Source]) -> str:
    """Changes where a file of the sources does, or another takes its place.

    Args:
        sources: of scans; ``#2`` behind a name, which tells a volume of a file, is part of what is told apart.

    Raises:
        OSError: one is not there.
    """
    digest = hashlib.sha256()
    for name in sorted(chain.from_iterable(map(paths_in, sources))):
        path = Path(name.partition("#")[0])
        for file in sorted(path.iterdir()) if path.is_dir() else [archive_of(path) or path]:
            stat = file.stat()  # a file that took another's place has another time of change
            each = f"{name} {file} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n"
            digest.update(each.encode())
    return digest.hexdigest()[:16]


def check_writable_file(path: str | Path) -> None:
    """Refuse to write a manifest or a page over anything else, such as a scan or its sidecar.

    Raises:
        PolyscanError: there is a folder of that name, or a file of another kind.
    """
    path = Path(path)
    if path.is_dir():
        raise PolyscanError(f"{path} is a folder; name a file to write, such as {path / 'manifest.json'}.")
    if path.exists():
        with path.open("rb") as file:
            start = file.read(1024)
        if start.strip() and b"polyscan" not in start:
            raise PolyscanError(f"{path} is no file that polyscan wrote; name a new file to write.")


def _check_apart(path: Path, sources: Iterable[str | Path]) -> None:
    target = path.resolve()
    checked: set[Path] = set()
    for source in sources:
        source = Path(source)
        if not source.exists():
            continue
        folder = source if source.is_dir() else source.parent
        if folder in checked:
            continue
        checked.add(folder)
        real = folder.resolve()
        if target == real or target in real.parents or real in target.parents:
            how = "is" if target == real else "holds" if target in real.parents else "lies in"
            raise PolyscanError(
                f"{path} {how} {folder}, which holds scans that are read; name a folder apart from the scans."
            )
