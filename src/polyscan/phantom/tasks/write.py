"""A task as a prepared cohort, as ``polyscan train`` and ``infer`` read it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from polyscan.files.atomic import write_json
from polyscan.phantom.cohort import new_folder, split_of
from polyscan.phantom.tasks.task import Array, Drawn, Missing, Task
from polyscan.phantom.write import write_nifti_values
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import MANIFEST, Manifest, write_manifest

BUNDLE = "glioma_grading_classification"
"""Whose training and inference a task goes through, changed by the fragment ``tables``, or ``slices`` of images, and by
``task.json``."""


def write_task(
    out: str | Path, task: Task, *, subjects: int, seed: int = 0, missing: Missing | None = None
) -> dict[str, float]:
    """Draw subjects and write their tables or images, a manifest, what a bundle reads them with, and the optimum.

    Args:
        out: folder to write: ``manifest.json``, ``task.json`` (a fragment for ``--config``), ``optimum.json`` and a
            folder a subject. It must not hold anything yet.
        task: what to draw.
        subjects: how many; seven in ten for training, one for validation, two for testing.
        seed: another one draws others.
        missing: see :meth:`Task.draw`.

    Returns:
        What ``optimum.json`` holds: modalities, joined by `` + ``, to the accuracy of the Bayes posterior from them
        alone on the very subjects for testing.

    Raises:
        PolyscanError: the folder is not empty, or ``missing`` cannot be used.
    """
    drawn = task.draw(subjects, seed, missing)
    with new_folder(out) as folder:
        manifest = Manifest()
        for number in range(1, subjects + 1):
            study = Study(f"{number:05d}", label=Label(tasks={"class": task.classes[drawn.y[number - 1]]}))
            for m, name in enumerate(task.modalities):
                if drawn.available[number - 1, m]:
                    study.scans[name] = Scan(str(_write(folder / study.key / name, drawn.x[number - 1, m])))
            getattr(manifest, split_of(number, subjects)).append(study)
        write_manifest(folder / MANIFEST, manifest)
        write_json(folder / "task.json", fragment(task))
        testing = [split_of(number, subjects) == "testing" for number in range(1, subjects + 1)]
        optimum = of_subsets(task, Drawn(drawn.x[testing], drawn.y[testing], drawn.missing))
        write_json(folder / "optimum.json", optimum)
    return optimum


def fragment(task: Task) -> dict[str, Any]:
    """What tells a bundle of the task's modalities and classes; to be given behind the one for vectors or images."""
    shared: dict[str, Any] = {"tasks": {"class": task.classes}, "modalities": task.modalities}
    if not task.is_image:
        shared["tables"] = dict.fromkeys(task.modalities, _columns(*task.shape))
    return {"bundle": BUNDLE, "description": task.description, "shared": shared}


def of_subsets(task: Task, drawn: Drawn) -> dict[str, float]:
    """The best accuracy on these subjects from each subset of the modalities: single ones first, all last."""
    return {
        " + ".join(subset): task.accuracy(drawn, subset)
        for size in range(1, len(task.modalities) + 1)
        for subset in combinations(task.modalities, size)
    }


def _columns(count: int) -> list[str]:
    return [f"v{k + 1}" for k in range(count)]


def _write(stem: Path, values: Array) -> Path:
    """Write what a modality shows of a subject: a vector as a table, an image as one slice of 1 mm."""
    if values.ndim == 1:
        table = stem.with_suffix(".json")
        write_json(table, dict(zip(_columns(len(values)), map(float, values.round(5)), strict=True)))
        return table
    slice_file = stem.with_suffix(".nii.gz")
    slice_file.parent.mkdir(parents=True, exist_ok=True)
    write_nifti_values(slice_file, values[..., None].astype(np.float32), np.eye(4))
    return slice_file
