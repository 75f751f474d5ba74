"""What is said of a bundle that lacks the entry which an option, or a user, would change."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder

OPTIONS = {
    "absent": ("--without", "way to leave modalities out"),
    "attribution": ("--attribution", "maps of where its answers come from"),
    "ensemble": ("--ensemble", "mean of several networks"),
    "features": ("--keep-features", "features that could be kept"),
    "fusion": ("--fusion", "fusion layer that could be another"),
    "ignore_atypical": (
        "--ignore-atypical",
        "calibration that tells atypical scans, as classifications have",
    ),
    "mirror": ("--mirror", "mean over mirror images, as segmentations have"),
    "modality_dropout": ("--missing", "modality dropout in its training"),
    "save_probabilities": ("--probabilities", "regions whose probabilities could be kept, as segmentations have"),
}
"""Entry of a config to the option that changes it, and what a bundle without the entry does not have."""


def unknown_entry(folder: Path, config: str, key: str, known: Collection[str]) -> PolyscanError:
    """The sentence for an entry that is to be changed and is not there.

    Args:
        folder: the bundle's.
        config: which of its configs.
        key: the entry.
        known: the entries that there are.
    """
    if key not in OPTIONS:
        near = get_close_matches(key, known, n=3) or sorted(known)[:3]
        return PolyscanError(
            f"configs/{config}.json of {folder.name} has no entry {key!r} to change; name one that it has, such as "
            f"{', '.join(near)}."
        )
    option, lacking = OPTIONS[key]
    having = [
        file.parents[1].name
        for file in sorted(resource_folder("bundles").glob(f"*/configs/{config}.json"))
        if key in read_json(file)
    ]
    instead = f", or take a bundle that has it: {', '.join(having)}" if having else ""
    return PolyscanError(
        f"{folder.name} has no {lacking} (no entry {key!r} in configs/{config}.json); leave {option} away{instead}."
    )
