"""From a prepared manifest to what MONAI's data sets take."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.study import Study
from polyscan.study.manifest import Manifest, manifest_of

MASK = ("mask",)
"""What segmentation learns from."""

ALL = "all"
"""The fold that leaves nothing out."""


def training_items(
    manifest: str | Path | Manifest,
    labels: Sequence[str] = MASK,
    extra_keys: Sequence[str] = (),
    unlabelled: bool = False,
    fold: int | str | None = None,
) -> list[dict[str, Any]]:
    """The labelled studies to train on: those of training and validation, less what :func:`validation_items` takes.

    Args:
        manifest: a prepared manifest, or its file.
        labels: a study counts as labelled that has one of these.
        extra_keys: what an item carries beside ``study``, ``image`` and ``label``: ``"clinical"``, ``"days"``.
        unlabelled: whether those without a label come too, behind the others, with a label that holds no task.
        fold: a fold of the manifest that is watched, or ``"all"``: nothing is left out, as in nnU-Net.

    Raises:
        PolyscanError: fewer than two subjects have a label, one is in two sections or folds, or there is no such fold.
    """
    studies = learnt_studies(manifest, labels, unlabelled, fold)
    return [{"label": {}, **inference_item(study, labels, extra_keys)} for study in studies]


def validation_items(
    manifest: str | Path | Manifest,
    labels: Sequence[str] = MASK,
    extra_keys: Sequence[str] = (),
    fold: int | str | None = None,
) -> list[dict[str, Any]]:
    """The labelled studies to watch training with: a fold, or section ``validation``, or a tenth of all subjects.

    Those of fold ``"all"`` are trained on too.
    """
    return [inference_item(study, labels, extra_keys) for study in _split(manifest, labels, fold)[1]]


def inference_items(
    manifest: str | Path | Manifest, labels: Sequence[str] = MASK, extra_keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The studies to answer for: the section ``testing``; all studies where that section is empty."""
    found = manifest_of(manifest)
    return [inference_item(study, labels, extra_keys) for study in found.tested]


def testing_items(
    manifest: str | Path | Manifest, labels: Sequence[str] = MASK, extra_keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The labelled studies to evaluate on: those of :func:`inference_items` that have a label.

    Where they are those that a network is trained on, the log says so before any score.

    Raises:
        PolyscanError: none has, or a subject is in two sections.
    """
    if told := _apart(manifest).judged_on_training:
        logging.getLogger(__name__).warning(told)
    items = [item for item in inference_items(manifest, labels, extra_keys) if "label" in item]
    if not items:
        raise PolyscanError(f"{manifest} has no study with a label ({', '.join(labels)}) to evaluate on; give it some.")
    return items


def learnt_studies(
    manifest: str | Path | Manifest,
    labels: Sequence[str] = MASK,
    unlabelled: bool = False,
    fold: int | str | None = None,
) -> list[Study]:
    """The studies that :func:`training_items` are of."""
    training, validation = _split(manifest, labels, fold)
    held = {study.subject for study in validation if fold != ALL}
    rest = unlabelled_studies(manifest, labels) if unlabelled else []
    return [*training, *(study for study in rest if study.subject not in held)]


def labelled_studies(manifest: str | Path | Manifest, labels: Sequence[str] = MASK) -> list[Study]:
    """The studies that can be learnt from: those of training and validation that have one of the labels.

    Raises:
        PolyscanError: fewer than two subjects have a label, all have the same, or one is in two sections.
    """
    training, validation = _labelled(manifest, labels)
    return [*training, *validation]


def _labelled(manifest: str | Path | Manifest, labels: Sequence[str]) -> tuple[list[Study], list[Study]]:
    """Those of training and those of validation."""
    found = _apart(manifest)
    training, validation, aside = (
        [study for study in studies if any(study.label.holds(name) for name in labels)]
        for studies in (sorted(found.training, key=lambda s: s.key), found.validation, found.testing)
    )
    every = [*training, *validation]
    subjects = {study.subject for study in every}
    if len(subjects) < 2:
        tested = {study.subject for study in aside}
        raise PolyscanError(
            f"{manifest} has {len(subjects)} subjects with a label ({', '.join(labels)}) to train on"
            f"{f', and {len(tested)} in testing' if tested else ''}; give at least two in the section 'training'."
        )
    if not any(_teaches(every, name) for name in labels):
        raise PolyscanError(
            f"{manifest} has one class only, or no event ({', '.join(labels)}), from which nothing can be learnt; give "
            "studies of another class, or with an event."
        )
    return training, validation


def unlabelled_studies(manifest: str | Path | Manifest, labels: Sequence[str] = MASK) -> list[Study]:
    """The studies of the section ``training`` that have none of the labels, in the order of their keys."""
    found = sorted(manifest_of(manifest).training, key=lambda study: study.key)
    return [study for study in found if not any(study.label.holds(name) for name in labels)]


def missing_rates(
    manifest: str | Path | Manifest,
    modalities: Sequence[str],
    labels: Sequence[str] = MASK,
    fold: int | str | None = None,
) -> list[float]:
    """How often each modality is missing among the studies that are trained on; at most 0.9, so that some are left.

    Args:
        manifest: a prepared manifest, or its file.
        modalities: in the order of the rates. Clinical variables count as there where one was recorded.
        labels: see :func:`training_items`.
        fold: see :func:`training_items`.
    """
    items = training_items(manifest, labels, ["clinical"], fold=fold)
    acquired = [{*item["image"], *(["clinical"] if item["clinical"] else [])} for item in items]
    return [min(sum(name not in names for names in acquired) / len(acquired), 0.9) for name in modalities]


def _split(
    manifest: str | Path | Manifest, labels: Sequence[str], fold: int | str | None = None
) -> tuple[list[Study], list[Study]]:
    """What is trained on and what is watched; no subject, of however many sessions, is in both but for fold "all"."""
    training, validation = _labelled(manifest, labels)
    every = [*training, *validation]
    if fold in (None, ALL) and not validation:
        watched = sorted({study.subject for study in training})[::10]
        validation = [study for study in training if study.subject in watched]
        training = [study for study in training if study.subject not in watched]
    elif fold != ALL and fold is not None:
        check_folds(every)
        validation = [study for study in every if study.fold == fold]
        training = [study for study in every if study.fold != fold]
        if not validation:
            folds = sorted({study.fold for study in every if study.fold is not None})
            held = f"those of its studies with a label are {', '.join(map(str, folds))}" if folds else "it has no folds"
            raise PolyscanError(f"{manifest} has no fold {fold}: {held}.")
    learnt = every if fold == ALL else training
    if not learnt:
        raise PolyscanError(
            f"All studies of {manifest} with a label ({', '.join(labels)}) are watched, in validation or in a fold; "
            "leave some to train on."
        )
    return learnt, validation


def _teaches(studies: Sequence[Study], label: str) -> bool:
    """Whether studies differ in a label, or an event was seen; masks differ within themselves."""
    values = [study.label.tasks.get(label) for study in studies if study.label.holds(label)]
    times = [value for value in values if isinstance(value, Mapping)]
    return any(value.get("event") for value in times) if times else None in values or len(set(values)) > 1


def check_folds(studies: Iterable[Study]) -> None:
    """Refuse studies of one subject that are in two folds."""
    first: dict[str, int | None] = {}
    for study in studies:
        if first.setdefault(study.subject, study.fold) != study.fold:
            raise PolyscanError(f"sub-{study.subject} is in two folds; give all studies of a subject the same.")


def _apart(manifest: str | Path | Manifest) -> Manifest:
    """Read a manifest of which no subject is in two sections."""
    found = manifest_of(manifest)
    sections = {"training": found.training, "validation": found.validation, "testing": found.testing}
    first: dict[str, str] = {}
    for section, studies in sections.items():
        for study in studies:
            if first.setdefault(study.subject, section) != section:
                raise PolyscanError(
                    f"{manifest} has sub-{study.subject} in the sections {first[study.subject]!r} and {section!r}; "
                    "a subject belongs to one, since the network would be judged on whom it was trained on."
                )
    return found


def inference_item(study: Study, labels: Sequence[str] = MASK, extra_keys: Sequence[str] = ()) -> dict[str, Any]:
    """What a study is to a bundle's transforms: ``study``, ``image``, ``label`` if it has one, and ``extra_keys``."""
    item: dict[str, Any] = {"study": study.key, "image": {name: scan.path for name, scan in study.scans.items()}}
    if any(study.label.holds(name) for name in labels):
        item["label"] = study.label.mask if tuple(labels) == MASK else dict(study.label.tasks)
    known = {"clinical": study.clinical, "days": study.days}
    return {**item, **{name: known[name] for name in extra_keys}}
