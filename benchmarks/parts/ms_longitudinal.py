"""Multiple sclerosis: T1, T1c, T2 and FLAIR at 2 mm in atlas space, with the lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from parts.part import Cohort, Form, Part, Patient, known
from polyscan.study import Study

NAMES = {"T1": "T1", "T1POST": "T1c", "T2": "T2", "FLAIR": "FLAIR"}
FORMS = {
    "images": Form("n c x y z"),
    "lesion_eighths": Form("n x y z", highest=8),
    "patient": Form("n"),
    "contrasts": Form("c"),
}


def patients(part: Part) -> Iterator[Patient]:
    """A voxel is lesion where half of it is. Values below zero are real: zero is not the brain's mask."""
    contrasts = [NAMES[str(name)] for name in part.array("contrasts")]
    rows = part.rows("patient_id")
    for row, name in enumerate(part.array("patient").tolist()):
        told = rows.get(str(int(name.removeprefix("patient"))), {})
        study = Study(name, aligned=contrasts, clinical=known({c: told.get(c) for c in ("age", "sex")}))
        # The arrays are those of NIfTI, (x, y, z) in RAS+.
        volumes = dict(zip(contrasts, map(lps, part.array("images")[row]), strict=True))
        mask = lps(part.array("lesion_eighths")[row] >= 4) if part.has("lesion_eighths") else None
        yield Patient(study, volumes, mask)


def lps(values: np.ndarray) -> np.ndarray:
    """Turn (x, y, z) in RAS+ into (z, y, x) in LPS+."""
    return values.transpose()[:, ::-1, ::-1]


COHORT = Cohort(
    outcomes={"lesion": ()},
    patients=patients,
    tasks=("lesion",),
    forms=FORMS,
    protocol="brain_mri",
    spacing=(2.0, 2.0, 2.0),
)
