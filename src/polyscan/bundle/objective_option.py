"""Objectives named on the command line, as changes to a bundle's training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscan.bundle.class_option import check_options, read_call
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.errors import PolyscanError, unknown_name
from polyscan.objectives import objectives

_GIVEN = {"network": "@network", "one_hot": "@train#one_hot"}


def objective_option(texts: Sequence[str], bundle: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME`` or ``NAME(option=value, ...)`` of :mod:`polyscan.objectives`, one or several.

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
    known = {kind.__name__: kind for kind in objectives()}
    entries: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, options = read_call("--objective", text)
        if name not in known:
            raise unknown_name("objective", name, known)
        if name in entries:
            raise PolyscanError(f"--objective {name} is given twice; give it once.")
        check_options(f"--objective {text}", options, known[name], _GIVEN)
        taken = {key: value for key, value in _GIVEN.items() if key in inspect.signature(known[name]).parameters}
        entries[name] = {"_target_": f"polyscan.objectives.{name}", **taken, **options}
    classes = read_config(bundle_folder(bundle), "train", changes)["train"]["one_hot"] is not None
    return {**changes, "objectives": list(entries.values()), "unlabelled": classes}
