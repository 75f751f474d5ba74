"""Simple models: a regression of each subset of the tables, and of each scan the threshold that is best.

Each answers for a study after it has learnt from the studies of other folds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from polyscan.baselines.tasks import Array, Masks, TableTask, Task
from polyscan.files.atomic import read_json
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import read_nifti
from polyscan.study import Study

THRESHOLDS = 40
"""How many are tried, between quantiles of what lies inside the masks."""


def simple_models(task: Task, inputs: Sequence[str] = ()) -> dict[tuple[str, str], Array]:
    """Method and inputs to the answers for each study, single inputs first.

    Args:
        task: what is to be told.
        inputs: only these, such as ``"clinical + copy_number"``; all where empty.
    """
    if not task.learnable:
        return {}
    if isinstance(task, Masks):
        scans = dict.fromkeys(m for s in task.studies for m, one in s.scans.items() if is_volume(one.path))
        return {("threshold", name): thresholded(task, name) for name in scans if not inputs or name in inputs}
    assert isinstance(task, TableTask)
    found = tables(task.studies)
    named = {" + ".join(each): each for n in range(1, len(found) + 1) for each in combinations(found, n)}
    return {
        (task.method, name): cross_validated(task, np.concatenate([found[table] for table in each], axis=1))
        for name, each in named.items()
        if not inputs or name in inputs
    }


def tables(studies: Sequence[Study]) -> dict[str, Array]:
    """Each table as (study, column), NaN where not recorded, with a column for each way in which some is missing.

    The clinical variables are one table.
    """
    rows: dict[str, list[Mapping[str, Any]]] = {"clinical": [s.clinical for s in studies]}
    for name in sorted({m for s in studies for m, one in s.scans.items() if one.is_table}):
        rows[name] = [read_json(s.scans[name].path) if name in s.scans else {} for s in studies]
    found = {name: matrix(of_table) for name, of_table in rows.items()}
    return {name: values for name, values in found.items() if values.shape[1]}


def matrix(rows: Sequence[Mapping[str, Any]]) -> Array:
    """Numbers as they are, words as a column each, then what is missing."""
    columns = []
    for name in sorted({column for row in rows for column in row}):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            words = sorted({str(value) for value in values if value is not None})
            columns += [[np.nan if v is None else float(str(v) == word) for v in values] for word in words]
        else:
            columns.append([np.nan if v is None else float(v) for v in values])
    numbers = np.array(columns, dtype=float).reshape(len(columns), len(rows)).T
    missing = np.unique(np.isnan(numbers), axis=1)
    return np.concatenate([numbers, missing[:, missing.any(0) & ~missing.all(0)]], axis=1)


def cross_validated(task: TableTask, x: Array) -> Array:
    """Each study's answer by the model of the other folds; the penalty is chosen by three folds inside those.

    Args:
        task: what is to be told.
        x: (study, column), NaN where not recorded; the median stands there.
    """
    answers: Array | None = None
    for fold in np.unique(task.folds[task.scored]):
        train, test = task.others(fold), task.folds == fold
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table of one value has no variance
            found = task.told(task.model().fit(x[train], task.truth[train]), x[test])
        answers = np.full((len(x), *found.shape[1:]), np.nan) if answers is None else answers
        answers[test] = found
    assert answers is not None
    return answers


def thresholded(task: Masks, modality: str) -> Array:
    """Dice of each study, at the threshold that is best on the studies of the other folds.

    NaN where a study lacks the scan, or has it on another grid than its mask.
    """
    inside = [values[mask] for _, values, mask in _masked(task.studies, modality)]
    answers = np.full(len(task.studies), np.nan)
    if not inside:
        return answers
    levels = np.quantile(np.concatenate(inside), np.linspace(0, 0.99, THRESHOLDS))
    dice = np.full((len(task.studies), THRESHOLDS), np.nan)
    for k, values, mask in _masked(task.studies, modality):
        dice[k] = dice_above(values, mask, levels)
    for fold in np.unique(task.folds[task.scored]):
        learnt = dice[task.others(fold)]
        if np.isfinite(learnt).any():
            answers[task.folds == fold] = dice[task.folds == fold, int(np.nanmean(learnt, axis=0).argmax())]
    return answers


def _masked(studies: Iterable[Study], modality: str) -> Iterator[tuple[int, Array, Array]]:
    """Row, voxels and mask of each study that has both on one grid, one after the other."""
    for k, study in enumerate(studies):
        if modality in study.scans and study.label.mask and is_volume(study.label.mask):
            values, mask = (read_nifti(file)[0].numpy() for file in (study.scans[modality].path, study.label.mask))
            if values.shape == mask.shape:
                yield k, values, mask > 0


def dice_above(values: Array, mask: Array, levels: Array) -> Array:
    """Dice of what is above each level, by counting in sorted values."""
    inside, everywhere = np.sort(values[mask & np.isfinite(values)]), np.sort(values[np.isfinite(values)])
    both = len(inside) - np.searchsorted(inside, levels)
    found = len(everywhere) - np.searchsorted(everywhere, levels)
    return 2 * both / np.maximum(found + mask.sum(), 1)
