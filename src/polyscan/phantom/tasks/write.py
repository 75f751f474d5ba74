"""A task as a prepared cohort, as ``polyscan train`` and ``infer`` read it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

from polyscan.files.atomic import write_json
from polyscan.phantom.cohort import new_folder, split_of
from polyscan.phantom.tasks.task import Drawn, Missing, Task
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import Manifest, write_manifest

BUNDLE = "glioma_grading_classification"
"""Whose training and inference a task goes through, changed by the fragments ``tables`` and ``task.json``."""


def write_task(
    out: str | Path, task: Task, *, subjects: int, seed: int = 0, missing: Missing | None = None
) -> dict[str, float]:
    """Draw subjects and write their tables, a manifest, what a bundle reads them with, and the optimum.

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
    columns = [f"v{k + 1}" for k in range(task.size)]
    with new_folder(out) as folder:
        manifest = Manifest()
        for number in range(1, subjects + 1):
            study = Study(f"{number:05d}", label=Label(tasks={"class": task.classes[drawn.y[number - 1]]}))
            for m, name in enumerate(task.modalities):
                if drawn.available[number - 1, m]:
                    path = folder / study.key / f"{name}.json"
                    write_json(path, dict(zip(columns, map(float, drawn.x[number - 1, m].round(5)), strict=True)))
                    study.scans[name] = Scan(str(path))
            getattr(manifest, split_of(number, subjects)).append(study)
        write_manifest(folder / "manifest.json", manifest)
        write_json(folder / "task.json", fragment(task, columns))
        testing = [split_of(number, subjects) == "testing" for number in range(1, subjects + 1)]
        optimum = of_subsets(task, Drawn(drawn.x[testing], drawn.y[testing], drawn.missing))
        write_json(folder / "optimum.json", optimum)
    return optimum


def fragment(task: Task, columns: list[str]) -> dict[str, Any]:
    """What tells a bundle of the task's tables and classes; to be given behind the fragment ``tables``."""
    shared = {
        "tasks": {"class": task.classes},
        "tables": dict.fromkeys(task.modalities, columns),
        "modalities": task.modalities,
    }
    return {"bundle": BUNDLE, "description": task.description, "shared": shared}


def of_subsets(task: Task, drawn: Drawn) -> dict[str, float]:
    """The best accuracy on these subjects from each subset of the modalities: single ones first, all last."""
    return {
        " + ".join(subset): task.accuracy(drawn, subset)
        for size in range(1, len(task.modalities) + 1)
        for subset in combinations(task.modalities, size)
    }
