"""Slices of brain MRI and of lung CT, each with a class: two tasks, whose patients are not named."""

from __future__ import annotations

from collections.abc import Iterator

from parts.part import Cohort, Part, Patient
from polyscan.study import Study

IMAGE_TYPES = {"glioma": "MRI", "malignant": "CT"}


def patients(part: Part) -> Iterator[Patient]:
    """Slices that look nearly alike share a group, which is the least that must not be in two folds."""
    classes = part.array("classes").tolist()
    kind = next((name for known, name in IMAGE_TYPES.items() if known in classes), "MRI")
    group = part.array("group") if part.has("group") else range(len(part.array("images")))
    for row, (image, own) in enumerate(zip(part.array("images"), group, strict=True)):
        study = Study(f"{kind}{own}", session=str(row))
        label = classes[int(part.array("labels")[row])] if part.has("labels") else None
        study.label.tasks = {kind.lower(): label} if label is not None else {}
        yield Patient(study, pictures={kind: image}, group=study.subject, stratum=str(label))


COHORT = Cohort(outcomes={"mri": (), "ct": ()}, patients=patients, tasks=("mri", "ct"))
