"""What is said of a bundle that lacks the entry which an option, or a user, would change."""

from __future__ import annotations

import json
import pydoc
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from polyscan.bundle.class_option import check_options, objects_in
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder

OPTIONS = {
    "absent": ("--without", "way to leave modalities out"),
    "attribution": ("--attribution", "maps of where its answers come from"),
    "ensemble": ("--ensemble", "mean of several networks"),
    "features": ("--keep-features", "features that could be kept"),
    "fusion": ("--fusion", "fusion layer that could be another"),
    "contributions": ("--contributions", "masks to be told the contributions to; classes are told theirs unasked"),
    "ignore_atypical": (
        "--ignore-atypical",
        "calibration that tells atypical scans, as classifications and segmentations have",
    ),
    "mirror": ("--mirror", "mean over mirror images, as segmentations have"),
    "modality_dropout": ("--missing", "modality dropout in its training"),
    "uncertainty": ("--uncertainty", "regions whose uncertainty could be mapped, as segmentations have"),
    "save_probabilities": ("--probabilities", "regions whose probabilities could be kept, as segmentations have"),
}
"""Entry of a config to the option that changes it, and what a bundle without the entry does not have."""


_NEAR = 0.8  # of 1: how much two names have in common, one of which is the other misspelt


def check_entries(folder: Path, config: str, content: Mapping[str, Any]) -> None:
    """Refuse an entry that nothing reads and whose name is nearly one that something does.

    Args:
        folder: the bundle's.
        config: which of its configs.
        content: its entries.

    Raises:
        PolyscanError: there is one.
    """
    known = _known()
    unread = content.keys() - known - set(re.findall(r"@(\w+)", json.dumps(content, default=str)))
    for key in sorted(unread):
        if near := get_close_matches(key, known, n=1, cutoff=_NEAR):
            raise PolyscanError(
                f"configs/{config}.json of {folder.name} has the entry {key!r}, which nothing reads; correct its "
                f"name, as {near[0]}."
            )


def check_arguments(folder: Path, config: str, content: Mapping[str, Any]) -> None:
    """Refuse an object of a config whose class there is not, or with an argument that its class does not take.

    Args:
        folder: the bundle's.
        config: which of its configs.
        content: its entries, with what was changed.

    Raises:
        PolyscanError: there is one.
    """
    for each in objects_in(content):
        target = each["_target_"]
        if not isinstance(target, str) or "." not in target or target[0] in "$@":
            continue  # what MONAI finds without its module, or is told later
        found, where = pydoc.locate(target), f"{target} in configs/{config}.json of {folder.name}"
        if found is None:
            raise PolyscanError(f"{where} is not to be found; correct its name{_nearest(target)}.")
        if callable(found):
            check_options(where, [name for name in each if not name.startswith("_")], found, ())


def _nearest(path: str) -> str:
    """The name in a module that is nearest to one that it lacks, with the words before it."""
    module, _, name = path.rpartition(".")
    near = get_close_matches(name, dir(pydoc.locate(module)), n=1)
    return f", as {near[0]}" if near else ", or name the folder of its module in PYTHONPATH"


@lru_cache
def _known() -> frozenset[str]:
    """The entries of the configs of all bundles that come with polyscan."""
    files = resource_folder("bundles").glob("*/configs/*.json")
    return frozenset(key for file in files for key in read_json(file))


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
