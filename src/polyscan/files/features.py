"""The files in which features of a study are kept, for who removes them without knowing a network."""

from __future__ import annotations

from pathlib import Path

from polyscan.files.owned import remove_empty

FEATURES = "features"
"""What the folder of kept features is called in an output; it holds a folder a study."""


def feature_file(place: Path, digest: str) -> Path:
    """The file in the folder of a study for what has this digest, in hexadecimal digits."""
    return place / f"{digest[:32]}.pt"


def feature_files(place: Path) -> list[Path]:
    """The files in the folder of a study that :func:`feature_file` named."""
    return list(place.glob("[0-9a-f]" * 32 + ".pt"))


def remove_features(place: Path) -> None:
    """Remove what is kept of a study, and its folder unless that holds something of somebody's own."""
    for file in feature_files(place):
        file.unlink()
    remove_empty(place)
