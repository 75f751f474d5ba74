"""A strategy against missing modalities named on the command line, as changes to a bundle's training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyscan import missing
from polyscan.bundle.class_option import check_options, read_call
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.errors import PolyscanError, unknown_name
from polyscan.learning import WithDistillation

DROPOUT, DISTILLATION = "ModalityDropout", "Distillation"
_OF_DISTILLATION = {
    "network": "@network",
    "one_hot": "@train#one_hot",
    "loss": "@loss",
    "objectives": "@objective_modules",
}


def missing_option(text: str, bundle: str | Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Read ``NAME`` or ``NAME(option=value, ...)``.

    A strategy of :mod:`polyscan.missing` goes around the bundle's fusion, at every level that has one.
    ``ModalityDropout(prob=0.4)`` takes one rate or a list of one a modality; without ``prob``, each modality is dropped
    as often as it is missing in the data; with ``rise=0.5`` the rates rise from 0 over the first half of the epochs.
    ``Distillation`` takes the options of
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
        check_options(asked, options, _dropout, ())
        return {**changes, **_dropout(**options)}
    if name == DISTILLATION:
        check_options(asked, options, WithDistillation, _OF_DISTILLATION)
        target = {"_target_": "polyscan.learning.WithDistillation", **_OF_DISTILLATION, **options}
        return {**changes, "modality_dropout": 0, "train#network": target}
    if name not in known:
        raise unknown_name("strategy", name, [*known, DROPOUT, DISTILLATION])
    check_options(asked, options, known[name], ("modalities", "channels", "spatial_dims", "fusion"))
    fusion = changes.get("fusion") or read_config(bundle_folder(bundle), "train", {}).get("fusion")
    if not isinstance(fusion, Mapping):
        raise PolyscanError(f"{bundle} names no fusion layer that {name} could stand around; name one by --fusion.")

    def around(layer: Any) -> dict[str, Any]:
        return {"_target_": f"polyscan.missing.{name}", "_mode_": "callable", "fusion": layer, **options}

    levels = "_target_" not in fusion
    return {**changes, "fusion": {k: around(layer) for k, layer in fusion.items()} if levels else around(fusion)}


def _dropout(prob: Any = None, rise: float = 0) -> dict[str, Any]:
    """The entries that ``ModalityDropout`` with its options sets."""
    data = {"manifest": "@manifest", "modalities": "@modalities", "labels": "@labels", "fold": "@fold"}
    as_missing = {"_target_": "polyscan.bundle.missing_rates", **data}
    return {"modality_dropout": as_missing if prob is None else prob, "modality_dropout_rise": rise}
