"""Score what networks answered, beside simple models of the same studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from polyscan.baselines.models import simple_models
from polyscan.baselines.reliability import reliability
from polyscan.baselines.table import NETWORK, Comparison, compared
from polyscan.baselines.tasks import Array, Classes, Task, tasks_of
from polyscan.errors import PolyscanError
from polyscan.study import Study
from polyscan.study.manifest import MANIFEST, read_manifest

_OTHERS = -2  # the fold of patients who are learnt from alone


def evaluate(
    answers: Sequence[str | Path],
    *,
    learn_from: str | Path | None = None,
    tasks: Sequence[str] = (),
    inputs: Sequence[str] = (),
    reference: str | None = None,
    accuracy: bool = False,
    only: str = "",
    leave_out: str = "",
    n_resamples: int = 1000,
) -> Iterator[Comparison]:
    """Compare networks and simple models, task by task.

    Classes: logistic regression, scored by AUROC. Survival: ridge Cox, Harrell's c. Both on every subset of the tables
    (the clinical variables are one), with medians and indicators in the place of what was not recorded, and the
    strength of the penalty chosen by three folds inside the studies that are learnt from. Masks: for each scan the
    threshold that is best on these, scored by Dice. Where studies have folds, scores are means over folds.

    Args:
        answers: folders or manifests that ``polyscan infer`` wrote, a row each. Labels, tables and folds are those of
            the first, which need not hold answers. Studies that one of them does not answer are not scored.
        learn_from: a manifest of studies that simple models learn from, in the place of those of other folds: of other
            patients, or of the same ones, such as with drawn masks measured, and of these with other folds alone.
        tasks: names of those to tell; all where empty.
        inputs: only these subsets of tables, or scans, such as ``"clinical + copy_number"``.
        reference: inputs of the row to compare with; the best single table or scan where not given.
        accuracy: score classes by how many are told right.
        only: score those of whom this is true, such as ``centre=PCNN`` or ``sex=F``.
        leave_out: score all but those of whom this is true.
        n_resamples: cohorts drawn for an interval.

    Raises:
        PolyscanError: a manifest cannot be read, or there is no task of which enough is known; of a task that is named
            no study has a label, or one of the folders no answer.
    """
    paths = [path / MANIFEST if (path := Path(given)).is_dir() else path for given in answers]
    manifests = {path: read_manifest(path) for path in paths}
    networks = [path for path, each in manifests.items() if path != paths[0] or any(s.prediction for s in each.studies)]
    notes = [f"{path.parent}: {said}" for path in networks if (said := manifests[path].judged_on_training)]
    studies, learnt = manifests[paths[0]].studies, None
    if learn_from is not None:
        fold_of = {study.subject: study.fold for study in studies}
        learnt = [replace(s, fold=fold_of.get(s.subject, _OTHERS)) for s in read_manifest(learn_from).studies]
    compared_any = False
    for task in tasks_of(studies, learnt, accuracy=accuracy):
        if tasks and task.name not in tasks:
            continue
        if only or leave_out:
            task.scored &= np.array([_holds(study, only or leave_out) == bool(only) for study in task.studies])
        told = {path: network_answers(task, manifests[path].studies) for path in networks}
        if task.name in tasks:
            _check_told(task, told)
        rows = {(NETWORK, str(path.parent)): found for path, found in told.items() if found is not None}
        if not task.scored.any() or (networks and not rows):
            continue  # another thing that is known of these studies, and told by no network
        rows = simple_models(task, inputs) | rows
        if rows:
            compared_any = True
            held = {
                str(path.parent): reliability(task.name, _answered(task, manifests[path].studies), n_resamples)
                for path, found in told.items()
                if found is not None and isinstance(task, Classes)
            }
            table = compared(task, rows, n_resamples=n_resamples, reference=reference)
            yield replace(table, notes=notes, reliability=held)
    if not compared_any:
        raise PolyscanError(
            f"{paths[0]} tells of no task enough to learn and to test on two folds, and holds no labelled answers; "
            "give studies with labels and folds, or with labels and answers, or others to learn from."
        )


def _check_told(task: Task, told: Mapping[Path, Array | None]) -> None:
    """Refuse a task that was asked for by name where there is nothing to score, or a network says nothing of it."""
    if not task.scored.any():
        raise PolyscanError(f"None of the studies to be scored has a label {task.name}; name another task.")
    if silent := [path for path, found in told.items() if found is None]:
        raise PolyscanError(
            f"{silent[0]} holds no answer of {task.name} for any of these studies; give one that does, or name other "
            "tasks. A mask is scored by polyscan infer, where the manifest that it is given has the true one."
        )


def _answered(task: Task, studies: Sequence[Study]) -> list[Study]:
    """The studies of a task that are scored, with what a network said of them."""
    said = {study.key: study.prediction for study in studies}
    rows = zip(task.studies, task.scored, strict=True)
    return [replace(study, prediction=said[study.key]) for study, is_scored in rows if is_scored]


def _holds(study: Study, told: str) -> bool:
    """Whether ``NAME=VALUE`` is true of a study: of its centre, or of a clinical variable."""
    name, _, value = told.partition("=")
    return str(study.centre if name == "centre" else study.clinical.get(name)) == value


def network_answers(task: Task, studies: Sequence[Study]) -> Array | None:
    """What a network answered for the task's studies; scored are those that it answered for. None where it has none."""
    predicted = {study.key: study.prediction for study in studies if study.prediction is not None}
    told = {key: found for key, each in predicted.items() if (found := task.of_network(each)) is not None}
    answered = np.array([study.key in told for study in task.studies])
    if not (answered & task.scored).any():
        return None
    task.scored &= answered
    unknown = np.full(np.shape(next(iter(told.values()))), np.nan)
    return np.array([told.get(study.key, unknown) for study in task.studies], dtype=float)
