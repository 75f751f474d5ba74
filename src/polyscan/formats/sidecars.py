"""The JSON files that speak of a volume: of its own name, and by the inheritance principle of BIDS."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from polyscan.formats.endings import stem_of

ROOT_FILES = ("dataset_description.json", "participants.tsv")  # of a data set, either of them
_DEEPEST = 6  # folders of a data set above one another


def sidecars_of(path: Path) -> list[Path]:
    """The JSON files that speak of an image, the nearest last.

    In BIDS those with its suffix and with entities of its own only, from the root of the data set on (BIDS 1.9, section
    Inheritance principle); else that of the same name.

    Args:
        path: the image.
    """
    stem = stem_of(path.name)
    *own, suffix = stem.split("_")
    if not any(part.startswith("sub-") for part in own):
        return [own_one] if (own_one := path.with_name(f"{stem}.json")).is_file() else []
    found: list[Path] = []
    for folder in folders_of(path):
        applicable = [
            folder / f"{name}.json"
            for name in _described(folder, folder.stat().st_mtime_ns)
            if (parts := name.split("_"))[-1] == suffix and set(parts[:-1]) <= set(own)
        ]
        found += sorted(applicable, key=lambda file: len(file.stem))
    return found


def folders_of(path: Path) -> list[Path]:
    """From the root of the data set of BIDS to the folder of a file; that alone where there is no data set."""
    folders = [path.absolute().parent, *path.absolute().parent.parents][:_DEEPEST]
    root = next((k for k, folder in enumerate(folders) if any((folder / name).is_file() for name in ROOT_FILES)), 0)
    return folders[root::-1]


@lru_cache(maxsize=1024)
def _described(folder: Path, changed: int) -> tuple[str, ...]:
    """The names of the JSON files in a folder, which is read again when it has changed."""
    return tuple(sorted(file.stem for file in folder.glob("*.json")))
