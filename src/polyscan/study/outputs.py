"""An output folder has an owner: polyscan replaces or removes only what it wrote itself."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from polyscan import __version__
from polyscan.errors import PolyscanError, first_of
from polyscan.files.atomic import clear_parts, write_json
from polyscan.files.numbered import numbered
from polyscan.files.owned import MARKER, remove_empty, remove_files, remove_owned, rewrite_file
from polyscan.files.packed import archive_of
from polyscan.study import Source, Study, paths_in
from polyscan.study.manifest import paths_of
from polyscan.study.places import check_apart, check_lasting, owner_of

LOCK = ".polyscan.lock"
REPORT = "report.html"
_BEGINS = {
    "manifest": rb'\s*\{\s*"format_version": \d+,\s*"polyscan": "',
    "plan": rb'\s*\{\s*"about": \{\s*"polyscan": "',
    "calibration": rb'\s*\{\s*"format_version": \d+,\s*"tasks": \{',
    "threshold": rb'\s*\{\s*"risk": [\d.e-]+,\s*"weights": "',
    "page": rb'.*<meta name="generator" content="polyscan ',
    "methods": rb"# Methods\s+<!-- Written by polyscan methods",
}
"""What a file that polyscan wrote begins with, by its kind."""
_ENDINGS = {"page": "html", "methods": "md"}


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
    def claim(
        cls, path: str | Path, command: str, sources: Iterable[str | Path] = (), scanned: str | Path | None = None
    ) -> OutputFolder:
        """Take a folder that is new, empty, or was made by the same command.

        Args:
            path: the folder; it is made where it does not exist.
            command: what is going to write it.
            sources: files and folders that are read. The folder must not be one of their folders, hold one, or lie in
                one, whichever links lead there. For prepared studies the same is true of the scans that they were made
                from, as far as the ``sources.json`` beside them tells.
            scanned: the folder in which the sources were found; the same is true of it, but for its ``derivatives``,
                which BIDS keeps for what is made of the scans.

        Raises:
            PolyscanError: the folder is in the sources' way, lies where another output is replaced, or holds what this
                command did not write.
        """
        path = Path(path)
        check_apart(path, sources, scanned)
        check_lasting(path)
        if path.exists() and not path.is_dir():
            raise PolyscanError(f"{path} is a file; name a folder to write to.")
        marker = path / MARKER
        if marker.is_file():
            content = owner_of(path)
            if content.get("command") != command:
                raise PolyscanError(
                    f"{path} was made by polyscan {content.get('command')}; name another folder for polyscan {command}."
                )
            return cls(path.absolute(), command, content.get("holds", []))
        if path.exists() and (found := sorted(entry.name for entry in path.iterdir())):
            raise PolyscanError(
                f"{path} holds what polyscan {command} did not write ({first_of(found)}); name a new or empty "
                "folder to write to."
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
        """Keep another run out of the folder inside the block, and clear away what a run that was cut short began.

        Raises:
            PolyscanError: another run is writing it.
        """
        try:
            with FileLock(self.path / LOCK, timeout=0):
                clear_parts(self.path)
                try:
                    yield
                finally:
                    clear_parts(self.path)  # of processes that were ended in the middle
        except Timeout:
            raise PolyscanError(
                f"{self.path} is being written by another polyscan {self.command}; wait for it or name another folder."
            ) from None

    def remove_others(self, names: Iterable[str]) -> None:
        """Remove what is listed but has none of these names; where nothing is left, the folder itself.

        Of a folder that is listed, what polyscan wrote in it goes; it stays, and stays listed, with what others put
        there.
        """
        others = self._holds - set(names)
        _remove_written(self.path, others)
        self._holds -= {name for name in others if not os.path.lexists(self.path / name)}
        self._write()
        if not self._holds and {entry.name for entry in self.path.iterdir()} <= {MARKER, LOCK}:
            shutil.rmtree(self.path)

    def _write(self) -> None:
        content = {"polyscan": __version__, "command": self.command, "holds": sorted(self._holds)}
        write_json(self.path / MARKER, content)


def _remove_written(folder: Path, names: Iterable[str]) -> None:
    """Remove files, and of folders what polyscan wrote in them and a report of that; they go where nothing is left."""
    folders = [name for name in names if (folder / name).is_dir() and not (folder / name).is_symlink()]
    remove_files(folder, set(names) - set(folders))
    for path in (folder / name for name in sorted(folders)):
        if (path / MARKER).is_file():
            _remove_written(path, owner_of(path).get("holds", []))
            for name in (MARKER, LOCK):
                (path / name).unlink(missing_ok=True)
            remove_report(path)
            remove_empty(path)
        else:
            for events in path.glob("events.out.tfevents.*"):  # TensorBoard's, which grow as a training goes on
                events.unlink()
            remove_owned(path)


def remove_report(folder: Path) -> None:
    """Remove the report of answers that are made anew: its page and, beside that, the pages of studies."""
    page, pages = folder / REPORT, (folder / REPORT).with_suffix("")
    if page.is_file() and _is_written(page, "page"):
        remove_files(folder, [REPORT])
    if (pages / MARKER).is_file() and owner_of(pages).get("command") == "report":
        _remove_written(folder, [pages.name])


def sources_of(studies: Iterable[Study]) -> list[Path]:
    """Every file and folder that studies name; of one in an archive the archive."""
    paths = [numbered(path)[0] for study in studies for path in paths_of(study)]
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
        path, _ = numbered(name)
        for file in sorted(path.iterdir()) if path.is_dir() else [archive_of(path) or path]:
            stat = file.stat()  # a file that took another's place has another time of change
            each = f"{name} {file} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n"
            digest.update(each.encode())
    return digest.hexdigest()[:16]


def files_digest(study: Study) -> str:
    """Changes where a file of a study does: :func:`fingerprint` of :func:`sources_of`.

    Raises:
        PolyscanError: one is not there; which scan it is of is said, and not its name.
    """
    try:
        return fingerprint(map(str, sources_of([study])))
    except OSError as error:
        scan_of = {str(numbered(path)[0]): name for name, each in study.sources.items() for path in paths_in(each)}
        which = scan_of.get(str(error.filename), "its label or a mask")
        raise PolyscanError(
            f"{which} is not where its manifest says; put it back, or run polyscan prepare again."
        ) from error


def check_writable_file(path: str | Path, kind: str) -> None:
    """Refuse to write a file over anything else, such as a scan, its sidecar, or a file of an output folder.

    Args:
        path: to write.
        kind: a manifest, a plan, a calibration, a threshold, a page, a methods text; only one of the same is replaced.

    Raises:
        PolyscanError: there is a folder of that name, a file of another kind, or one that belongs to another output.
    """
    path = Path(path)
    if path.is_dir():
        name = f"{kind}.{_ENDINGS.get(kind, 'json')}"
        raise PolyscanError(f"{path} is a folder; name a file to write, such as {path / name}.")
    check_lasting(path)
    if not path.exists():
        return
    if not _is_written(path, kind):
        raise PolyscanError(f"{path} is no {kind} that polyscan wrote; name a new file to write.")
    owner = owner_of(path.parent) if (path.parent / MARKER).is_file() else {}
    # The page of a report lies in the folder of the answers that it shows, a calibration in that of the weights.
    if kind in ("manifest", "plan") and path.name in owner.get("holds", []):
        raise PolyscanError(f"{path} belongs to what polyscan {owner['command']} wrote; name another file.")


@contextmanager
def replace_file(path: str | Path, kind: str) -> Iterator[None]:
    """Let a file that a command names by itself be written inside the block; one that somebody corrected makes way.

    Raises:
        PolyscanError: see :func:`check_writable_file`.
    """
    path = Path(path)
    check_writable_file(path, kind)
    with rewrite_file(path, listed=path.is_file() and path.stat().st_size > 0):
        yield


def _is_written(path: Path, kind: str) -> bool:
    """Whether a file is of a kind that polyscan writes, or empty."""
    with path.open("rb") as file:
        start = file.read(1024)
    return not start.strip() or re.match(_BEGINS[kind], start, re.DOTALL) is not None
