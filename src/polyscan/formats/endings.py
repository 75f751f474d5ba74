"""Which files hold a volume with its affine, by the endings of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from polyscan.files.numbered import numbered

NIBABEL = (".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img", ".mgz", ".mgh")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
_PAIR = {".hdr": ".img", ".hdr.gz": ".img.gz", ".img": ".hdr", ".img.gz": ".hdr.gz"}
_DETACHED = {".nhdr": re.compile(rb"^data ?file:\s*(\S.*?)\s*$", re.I | re.M)}
_DETACHED[".mhd"] = re.compile(rb"^ElementDataFile\s*=\s*(\S.*?)\s*$", re.I | re.M)
_HEADER = 65_536  # bytes


def ending_of(name: str) -> str:
    """The ending of a format that is read, as it is written; empty where it is none."""
    return next((name[-len(ending) :] for ending in (*NIBABEL, *ITK) if name.lower().endswith(ending)), "")


def stem_of(name: str) -> str:
    """A file name without the ending of its format, in any case."""
    ending = ending_of(name)
    return name[: -len(ending)] if ending else name


def is_volume(source: str | Path) -> bool:
    """Whether a file is a NIfTI, Analyze, FreeSurfer, NRRD or MetaImage volume by its name.

    DICOM files, disk images and others end with ``.img`` and ``.hdr`` too: these count as the two halves of one volume.
    """
    path, _ = numbered(source)
    ending = ending_of(path.name)
    return bool(ending) and (ending.lower() not in _PAIR or _other_half(path) is not None)


def volumes_among(files: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The volumes among files, one path each, and of their other parts why these are no volumes of their own."""
    found: list[Path] = []
    parts: dict[Path, str] = {}
    for path in files:
        ending = ending_of(path.name).lower()
        if lone_half(path):
            continue
        if ending and ending not in (".img", ".img.gz"):
            found.append(path)
            parts |= dict.fromkeys(parts_of(path), f"part of {path.name}")
    return found, parts


def lone_half(path: Path) -> str:
    """Why a file is no volume that has the ending of one of its two halves only; empty of others. It may be DICOM."""
    ending = ending_of(path.name).lower()
    lone = ending in _PAIR and _other_half(path) is None
    return f"half of a volume whose {_PAIR[ending]} is not beside it" if lone else ""


def parts_of(path: Path) -> list[Path]:
    """The other files that a volume's values lie in: the ``.img`` of a ``.hdr``, what ``.nhdr`` and ``.mhd`` name."""
    ending = ending_of(path.name).lower()
    if ending in _PAIR:
        other = _other_half(path)
        return [other] if other else []
    if ending not in _DETACHED:
        return []
    try:
        with path.open("rb") as file:
            found = _DETACHED[ending].search(file.read(_HEADER))
    except OSError:  # said when it is opened
        return []
    name = found[1].decode("utf-8", "replace") if found else "LOCAL"
    return [] if name.split()[0].upper() in ("LOCAL", "LIST") or "%" in name else [path.parent / name]


def _other_half(path: Path) -> Path | None:
    ending = ending_of(path.name)
    wanted = stem_of(path.name) + _PAIR[ending.lower()]
    for name in (wanted, stem_of(path.name) + _PAIR[ending.lower()].upper()):
        if (path.parent / name).is_file():
            return path.parent / name
    return None
