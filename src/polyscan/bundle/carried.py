"""Weights carry the settings that their network was built with, so that an answer needs no options of its training."""

from __future__ import annotations

import json
import pydoc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle.utils import ID_REF_KEY
from torch import Tensor, nn

from polyscan.bundle.config import read_config
from polyscan.bundle.fragment import FOLDER, known_fragments, read_fragments
from polyscan.errors import PolyscanError
from polyscan.evaluation.missingness import dependences
from polyscan.files.atomic import read_json
from polyscan.files.digest import digest_of
from polyscan.files.resources import resource_folder
from polyscan.networks.fusion_model import describe
from polyscan.study import ScanKey, Study
from polyscan.study.record import CLINICAL

FRAGMENTS = "fragments"
"""Among the settings: the fragments of polyscan's own that the training was given, which may change how studies are
read."""
FILES = "fragment_files"
"""Among the settings: the names of the fragments of the user's own that the training was given."""
PROTOCOLS = "protocols"
"""Among the settings: by which the studies that were learnt from were prepared."""
UNTAUGHT = "untaught"
"""Among the settings: task to the modalities that no study with a label of it had."""
UNLEARNT = "unlearnt"
"""Among the settings: the modalities of the network that no study had which it learnt from, so that it knows none."""
MISSING_BY_LABEL = "missing_by_label"
"""Among the settings: modality to the labels on which it depended whether a study had it."""
LEARNT = "learnt"
"""Among the settings: marks of the studies that were learnt from, see :func:`marks_of`."""
_MACHINE = {
    *("imports", "bundle_root", "device", "dataset_dir", "manifest", "output_dir", "network", "run"),
    "encoder_weights",  # the weights that carry the settings hold the encoder's too
}
_TRUSTED = ("polyscan.networks.", "polyscan.fusion.", "polyscan.missing.", "monai.networks.", "torch.nn.")


def shared_settings(
    bundle: str | Path, config: Mapping[str, Any], fragments: Sequence[str | Path] = ()
) -> dict[str, Any]:
    """What of a training's config an answer needs too: network, spacing, windows, regions or tasks, and the like.

    What the bundle or a fragment wants otherwise in inference than in training, and the training left so, is taken as
    inference wants it: by its name from a fragment of polyscan's own, whole from a file of the user's.

    Args:
        bundle: the folder of the bundle.
        config: of the training, as it is written.
        fragments: that the training was given.
    """
    own = known_fragments(fragments)
    learnt, read = (
        {**read_json(Path(bundle) / "configs" / f"{section}.json"), **read_fragments(fragments, section)}
        for section in ("train", "inference")
    )
    told = {name: config[name] for name in read if name in config and name not in _MACHINE}
    apart = {name for name in told if told[name] == learnt.get(name) != read[name]}
    shared = {name: value for name, value in told.items() if name not in apart}
    if files := [file for file in fragments if not known_fragments([file])]:
        answers = read_config(bundle, "inference", read_fragments(fragments, "inference"))
        changed = {name.partition("#")[0] for name in read_fragments(files, "inference")} - _MACHINE
        shared = {**{name: answers[name] for name in sorted(changed)}, **shared}
    return {FRAGMENTS: own, FILES: [Path(file).name for file in files], **shared}


def carried_fragments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of inference that the fragments change which weights name; only those of polyscan's own are read."""
    files = (resource_folder(FOLDER) / f"{Path(name).name}.json" for name in settings.get(FRAGMENTS, ()))
    return read_fragments(files, "inference")


def marks_of(studies: Iterable[Study]) -> set[str]:
    """What tells studies again and nothing of them: digests of their keys and of the sizes of their files."""
    marks = set()
    for study in studies:
        files = {name: file.stat().st_size for name, scan in study.scans.items() if (file := Path(scan.path)).is_file()}
        marks.add(digest_of(study.key, files or study.clinical))
    return marks


def check_not_learnt(studies: Iterable[Study], learnt: set[str]) -> None:
    """Refuse studies that weights learnt from, whose marks they carry."""
    for study in studies if learnt else ():
        if not learnt.isdisjoint(marks_of([study])):
            raise PolyscanError(f"The weights learnt from {study.key}; give studies that they did not learn from.")


def settings_of_studies(
    learnt: Sequence[Study],
    studies: Iterable[Study],
    modalities: Iterable[str],
    labels: Collection[str],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What an answer must know of the studies that a network learns from: which, how prepared, what they do not teach.

    Args:
        learnt: the studies that it learns from.
        studies: all of the manifest that could be.
        modalities: of the network.
        labels: that the network learns.
        before: the settings of the weights that it starts from; None where it starts from none.
    """
    known, had = _modalities(studies), _modalities(learnt)
    new = list(modalities) if before is None else before.get(UNLEARNT, ())
    return {
        LEARNT: sorted(marks_of(learnt).union((before or {}).get(LEARNT, ()))),
        PROTOCOLS: sorted({study.protocol for study in learnt if study.scans}),
        UNLEARNT: [name for name in modalities if name not in had and name in new],
        MISSING_BY_LABEL: {**(before or {}).get(MISSING_BY_LABEL, {}), **missing_by_label(learnt, modalities, labels)},
        UNTAUGHT: {label: sorted(known - _modalities(s for s in learnt if s.label.holds(label))) for label in labels},
    }


def missing_by_label(
    studies: Sequence[Study], modalities: Iterable[str], labels: Collection[str]
) -> dict[str, list[str]]:
    """Modality to those labels on which it depends whether it is missing: what a network may take its absence for."""
    found: dict[str, list[str]] = {}
    for each in dependences(studies, list(modalities), ["label"]):
        if (label := each.on.removeprefix("label ")) in labels:
            found.setdefault(each.modality, []).append(label)
    return found


def _modalities(studies: Iterable[Study]) -> set[str]:
    """What studies have, with and without the times of their scans."""
    found: set[str] = set()
    for study in studies:
        found |= {*study.scans, *(ScanKey.parse(name).modality for name in study.scans)}
        found |= {CLINICAL} if study.clinical else set()
    return found


def settings_of(stored: Mapping[str, Tensor]) -> dict[str, Any]:
    """All settings that weights carry; none for weights that carry none."""
    try:
        return dict(describe(stored)["settings"])
    except PolyscanError:  # told where they are loaded
        return {}


def carried_settings(
    settings: Mapping[str, Any],
    weights: str | Path,
    bundle: str | Path,
    replaced: Mapping[str, Any],
    fragments: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The settings that weights carry and that differ from a bundle's; none for weights that carry none.

    A config names classes to call, and weights come from anywhere: classes that are no networks, and expressions that
    are not the bundle's own, are refused.

    Args:
        settings: all that the weights carry.
        weights: their file, for messages.
        bundle: the folder of the bundle.
        replaced: entries of the config that the user gives, whatever the weights say.
        fragments: entries that the weights' fragments change of the bundle's.

    Raises:
        PolyscanError: the weights name what a network is not built from.
    """
    own = {**read_json(Path(bundle) / "configs" / "inference.json"), **(fragments or {})}
    known, given = set(_leaves(own)), {name.partition("#")[0] for name in replaced}
    taken = {}
    for name, value in settings.items():
        strange = [leaf for leaf in _leaves(value, name) if leaf not in known and not _harmless(leaf)]
        if not strange:
            taken[name] = value
        elif name not in given:
            again = " ".join(f"--config {file}" for file in settings.get(FILES, ())) or "the --config of the training"
            raise PolyscanError(
                f"{weights} wants {name} to be built with {strange[0][1]}, which is neither the bundle's nor part of a "
                f"network of polyscan, MONAI or torch; give {again} again or, if you trust it, give {name} yourself "
                "(by --set, or --fusion)."
            )
    read = {name for name in taken if name in own or f"{ID_REF_KEY}{name}" in str(taken)}
    return {
        name: taken[name]
        for name in taken
        if name in read and name not in replaced and json.dumps(taken[name]) != json.dumps(own.get(name))
    }


def _harmless(leaf: tuple[str, Any]) -> bool:
    key, value = leaf
    if key == "_target_":  # the class itself is looked at: a module's attributes reach every module that it imports
        found = pydoc.locate(value) if isinstance(value, str) and value.startswith(_TRUSTED) else None
        return isinstance(found, type) and issubclass(found, nn.Module)
    return not (isinstance(value, str) and value.startswith(("$", "%")))


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every name and plain value of a config; NaN, which is not equal to itself, is left out."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    elif value == value:
        yield key, value
