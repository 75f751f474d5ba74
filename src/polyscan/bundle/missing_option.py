"""A strategy against missing modalities named on the command line, as changes to a bundle's training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from polyscan import missing
from polyscan.bundle.class_option import check_options, options_of, read_call
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.errors import PolyscanError

DROPOUT, DISTILLATION = "ModalityDropout", "Distillation"


def missing_option(text: str, bundle: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME`` or ``NAME(option=value, ...)``.

    A strategy of :mod:`polyscan.missing` goes around the bundle's fusion, at every level that has one.
    ``ModalityDropout(prob=0.4)`` takes one rate or a list of one a modality; without ``prob``, each modality is dropped
    as often as it is missing in the data. ``Distillation`` takes the options of
    :class:`polyscan.learning.WithDistillation` and turns modality dropout off, since it drops by itself.

    Args:
        text: what was given.
        bundle: folder or name.
        changes: what is changed of the bundle's training already.

    Returns:
        The changes with those of the strategy.

    Raises:
        PolyscanError: there is no such strategy or option, or the bundle has no fusion layer to put one around.
    """
    name, options = read_call("--missing", text)
    asked, known = f"--missing {text}", {layer.__name__: layer for layer in missing.strategies()}
    if name == DROPOUT:
        check_options(asked, options, {"prob"})
        data = {"manifest": "@manifest", "modalities": "@modalities", "labels": "@labels"}
        drawn = options.get("prob", {"_target_": "polyscan.bundle.missing_rates", **data})
        return {**changes, "modality_dropout": drawn}
    if name == DISTILLATION:
        check_options(asked, options, {"drop", "temperature", "weights"})
        network = {"network": "@network", "one_hot": "@train#one_hot", "loss": "@loss"}
        target = {
            "_target_": "polyscan.learning.WithDistillation",
            **network,
            "objectives": "@objective_modules",
            **options,
        }
        return {**changes, "modality_dropout": 0, "train#network": target}
    if name not in known:
        raise PolyscanError(f"There is no strategy {name!r}; there are {', '.join([*known, DROPOUT, DISTILLATION])}.")
    check_options(asked, options, options_of(known[name], "modalities", "channels", "spatial_dims", "fusion"))
    fusion = changes.get("fusion") or read_config(bundle_folder(bundle), "train", {}).get("fusion")
    if not isinstance(fusion, Mapping):
        raise PolyscanError(f"{bundle} names no fusion layer that {name} could stand around; it needs an entry fusion.")
    around = _around(f"polyscan.missing.{name}", options)
    levels = "_target_" not in fusion
    return {**changes, "fusion": {k: around(layer) for k, layer in fusion.items()} if levels else around(fusion)}


def _around(path: str, options: Mapping[str, Any]) -> Callable[[Any], dict[str, Any]]:
    return lambda fusion: {"_target_": path, "_mode_": "callable", "fusion": fusion, **options}
