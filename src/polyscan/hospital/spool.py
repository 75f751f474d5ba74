"""Images that were received, kept until their study was answered for: what lies here is the truth."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.owned import remove_empty

_UID = re.compile(r"[0-9][0-9.]{0,63}")


class Spool:
    """A folder a study, a file an image.

    Args:
        folder: where; what a process that was killed left half written in it is removed.
        reserve: bytes of the disk that are left free.
    """

    def __init__(self, folder: Path, reserve: int = 0) -> None:
        self.folder, self.reserve = folder, reserve
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*/.part-*"):
            part.unlink()
            remove_empty(part.parent)

    def keep(self, study: str, instance: str, content: bytes) -> None:
        """Write an image so that it outlives a loss of power; one that is there already with this content stays.

        Args:
            study: StudyInstanceUID.
            instance: SOPInstanceUID.
            content: a DICOM file.

        Raises:
            PolyscanError: a UID is none.
            OSError: the disk is full, or less than the reserve would be left.
        """
        for name, uid in (("StudyInstanceUID", study), ("SOPInstanceUID", instance)):
            if not _UID.fullmatch(uid):
                raise PolyscanError(f"{name} is no UID; expected digits and dots.")
        path = self.folder / study / f"{instance}.dcm"
        if path.is_file() and path.read_bytes() == content:
            return
        self.check_room(len(content))
        try:
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            remove_empty(path.parent)
            raise
        for folder in (path.parent, self.folder):
            _sync(folder)

    def check_room(self, size: int = 0) -> None:
        """Check that the disk has room for so many bytes, and more.

        Raises:
            OSError: less than the reserve would be left.
        """
        if shutil.disk_usage(self.folder).free <= self.reserve + size:
            raise OSError(f"less than {self.reserve / 1e9:g} GB would be left of the disk")

    def settled(self, quiet: float) -> Iterator[Path]:
        """The folders of studies of which nothing came for this many seconds, the longest waiting first."""
        last = {folder: newest(folder) for folder in self.folder.iterdir() if folder.is_dir()}
        for folder in sorted(last, key=lambda folder: last[folder]):
            if time.time() - last[folder] >= quiet:
                yield folder


def images_in(folder: Path) -> list[Path]:
    """The images of a study that came whole."""
    return list(folder.glob("[0-9]*.dcm"))


def remove_images(folder: Path, last: float) -> bool:
    """Remove the images of a study, and its folder unless that holds something else.

    Args:
        folder: the study's.
        last: when its last image came; if one came later, nothing is removed.

    Returns:
        Whether they were removed.
    """
    images = images_in(folder)
    if newest(folder) != last:
        return False
    for image in images:
        image.unlink()
    remove_empty(folder)
    return True


def newest(folder: Path) -> float:
    """When the last image of a study came, in seconds since 1970: an image that takes its place changes the folder."""
    return folder.stat().st_mtime


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
