"""Slices of brain MRI and of lung CT, each with a class: two tasks, whose patients are not named."""

from __future__ import annotations

from collections.abc import Iterator

from parts.part import Cohort, Form, Part, Patient
from polyscan.errors import PolyscanError
from polyscan.study import Study

IMAGE_TYPES = {
    "MRI": {"glioma", "meningioma", "notumor", "pituitary"},
    "CT": {"benign", "malignant", "normal"},
}


def patients(part: Part) -> Iterator[Patient]:
    """Slices that look nearly alike share a group, which is the least that must not be in two folds."""
    classes = part.array("classes").tolist()
    kind = next((name for name, known in IMAGE_TYPES.items() if known.issuperset(classes)), None)
    if kind is None:
        known = "; or ".join(", ".join(sorted(names)) for names in IMAGE_TYPES.values())
        raise PolyscanError(f"The classes of the part are {', '.join(map(str, classes))}, where {known} are expected.")
    part.check({"labels": Form("n", highest=len(classes) - 1)})
    group = part.array("group") if part.has("group") else range(len(part.array("images")))
    for row, (image, own) in enumerate(zip(part.array("images"), group, strict=True)):
        study = Study(f"{kind}{own}", session=str(row))
        label = classes[int(part.array("labels")[row])] if part.has("labels") else None
        study.label.tasks = {kind.lower(): label} if label is not None else {}
        yield Patient(study, pictures={kind: image}, group=study.subject, stratum=str(label))


COHORT = Cohort(
    outcomes={"mri": (), "ct": ()},
    patients=patients,
    tasks=("mri", "ct"),
    forms={"images": Form("n y x", highest=255), "labels": Form("n"), "group": Form("n")},
)
