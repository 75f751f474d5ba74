"""A source names one volume of several in its files by a number behind it, as in ``bold.nii.gz#2``."""

from __future__ import annotations

import re
from pathlib import Path

_NUMBER = re.compile(r"#(\d+)$")


def numbered(source: str | Path) -> tuple[Path, int | None]:
    """A path, and the number of the volume, from 1, where ``#`` and a number follow it."""
    number = _NUMBER.search(str(source))
    if number is None or Path(source).exists():
        return Path(source), None
    return Path(str(source)[: number.start()]), int(number[1])
