"""ACDC: cine MR of the heart at end-diastole (``CINE@1``) and end-systole (``CINE@2``), its parts and diagnosis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parts.part import Cohort, Form, Part, Patient, classes, known
from polyscan.study import Study

DIAGNOSES = {name: name for name in ("NOR", "DCM", "HCM", "MINF", "RV")}
MEASURES = ("lvef", "rvef", "myo_lv", "rv_lv")
COUNTS = tuple(f"{part}_{time}" for part in ("rv", "myo", "lv") for time in ("ed", "es"))


def patients(part: Part) -> Iterator[Patient]:
    """Slices that the files padded are cut off; the mask holds 1 to 3 at end-diastole, 4 to 6 at end-systole.

    The number of a patient tells the diagnosis: it names the study and is no input.
    """
    rows = part.rows("patient", part.names)
    for row, name in enumerate(part.names):
        told = rows.get(name, {})
        images = part.array("images")[row]
        slices = int(np.flatnonzero(images.any((0, 2, 3))).max(initial=-1)) + 1
        study = Study(name, aligned=["CINE@1", "CINE@2"])
        study.label.tasks = known({"diagnosis": classes(told, "group", DIAGNOSES)})
        volumes = {f"CINE@{time + 1}": images[time, :slices] for time in range(2) if images[time].any()}
        mask = None
        if part.has("labels"):
            before, after = part.array("labels")[row, :, :slices]
            mask = before + 4 * after
        yield Patient(study, volumes, mask, stratum=str(told.get("group")))


COHORT = Cohort(
    outcomes={"heart": (*COUNTS, *MEASURES), "diagnosis": ("group", "patient", *COUNTS, *MEASURES)},
    patients=patients,
    tasks=("heart", "diagnosis"),
    forms={"images": Form("n 2 z y x"), "labels": Form("n 2 z y x", highest=3), "patient": Form("n")},
    protocol="cine_mri",
    spacing=(1.0, 1.0, 5.0),
    nominal=True,
)
