"""Objectives named on the command line, as changes to a bundle's training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscan.bundle.class_option import find_class
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.errors import PolyscanError
from polyscan.objectives import Objective, objectives

_GIVEN = {"network": "@network", "one_hot": "@train#one_hot"}


def objective_option(texts: Sequence[str], bundle: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME``, an objective of polyscan.objectives, or ``DOTTED.PATH``, each with options or without; or several.

    Where a bundle learns classes, studies without a label are trained on too: their supervised loss is none.

    Args:
        texts: what was given.
        bundle: folder or name.
        changes: what is changed of the bundle's training already.

    Returns:
        The changes with those of the objectives.

    Raises:
        PolyscanError: there is no such objective or option, or one is named twice.
    """
    entries: dict[str, dict[str, Any]] = {}
    for text in texts:
        kind, path, options = find_class(
            "--objective", text, "objective", Objective, "polyscan.objectives", objectives(), _GIVEN
        )
        name = kind.__name__
        if name in entries:
            raise PolyscanError(f"--objective {name} is given twice; give it once.")
        taken = {key: value for key, value in _GIVEN.items() if key in inspect.signature(kind).parameters}
        entries[name] = {"_target_": path, **options, **taken}
    classes = read_config(bundle_folder(bundle), "train", changes)["train"]["one_hot"] is not None
    return {**changes, "objectives": list(entries.values()), "unlabelled": classes}
