"""A file of changes to a bundle's configs, for training and inference together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_file, resource_folder

FOLDER = "configs/fragments"
SECTIONS = ("shared", "train", "inference")


def known_fragments(names: Iterable[str | Path]) -> list[str]:
    """Those of some fragments that come with polyscan, each by its name; a file of that name is the user's own."""
    files = [resource_file(name, FOLDER, ".json", "fragment").resolve() for name in names]
    return [file.stem for file in files if file.parent == resource_folder(FOLDER).resolve()]


def read_fragments(names: Iterable[str | Path], config: str) -> dict[str, Any]:
    """The entries that several fragments change, a later one over those before; see :func:`read_fragment`."""
    return {name: value for each in names for name, value in read_fragment(each, config).items()}


def read_fragment(name_or_file: str | Path, config: str) -> dict[str, Any]:
    """The entries of a config that a fragment changes.

    Args:
        name_or_file: a JSON file, or the name of one of ``configs/fragments``. Under ``shared`` stand entries of both
            configs, under ``train`` and ``inference`` those of one; an entry within another is written
            ``"train#random_transforms"``. Other keys are for people.
        config: ``"train"`` or ``"inference"``.

    Raises:
        PolyscanError: there is no such file, or it is none of a fragment.

    Example:
        >>> sorted(read_fragment("lgg_lesion", "train"))[:3]
        ['batch_size', 'bfloat16', 'checkpoint_interval']
    """
    file = resource_file(name_or_file, FOLDER, ".json", "fragment")
    content = read_json(file)
    if not isinstance(content, dict) or not set(content) & set(SECTIONS):
        raise PolyscanError(f"{file} is no fragment: it needs entries under {', '.join(SECTIONS)}.")
    changes: dict[str, Any] = {}
    for section in ("shared", config):
        if not isinstance(content.get(section, {}), dict):
            raise PolyscanError(f"{file} has no entries under {section!r}; expected names and values.")
        changes.update(content.get(section, {}))
    return changes
