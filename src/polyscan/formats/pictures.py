"""Folders of 2D pictures as studies."""

from __future__ import annotations

from pathlib import Path

from polyscan.study import Scan, Study

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def is_picture(path: str | Path) -> bool:
    """Whether a file's name ends as a picture's does."""
    return Path(path).suffix.lower() in _ENDINGS


def picture_study(folder: Path) -> Study | None:
    """The pictures of a folder as one study, each named by its image type, such as ``MRI.png``; None without any."""
    pictures = {path.stem: Scan(str(path)) for path in sorted(folder.iterdir()) if is_picture(path)}
    return Study(folder.name.removeprefix("sub-"), scans=pictures) if pictures else None
