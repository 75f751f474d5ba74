"""PI-CAI: PSA, its density, volumes and age of men with prostate MRI at three centres."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from parts.part import Cohort, Part, Patient, classes, known, number
from polyscan.errors import PolyscanError
from polyscan.study import Study

OUTCOMES = (
    "case_csPCa",
    "csPCa_lesion_ml",
    "csPCa_lesion_n",
    "lesion_GS",
    "lesion_ISUP",
    "case_ISUP",
    "histopath_type",
)
TABLES = {
    "laboratory": ("psa",),
    "density": ("psad", "psad_computed_ai"),
    "gland": ("prostate_volume", "gland_ml_ai"),
}


def patients(part: Part) -> Iterator[Patient]:
    """What is a concentration or a volume enters as its logarithm too; a man's studies stay in one fold."""
    rows = part.rows("study_id")
    if not rows:
        raise PolyscanError("No table is given; give the part's marksheet.")
    for name, told in rows.items():
        study = Study(str(told["patient_id"]), session=name, centre=told.get("center"))
        study.clinical = known({"age": number(told, "patient_age")})
        study.label.tasks = known({"csPCa": classes(told, "case_csPCa", {"NO": "no", "YES": "yes"})})
        tables = {table: with_logarithms(told, columns) for table, columns in TABLES.items()}
        tables["reader"] = pirads(told)
        stratum = f"{told.get('center')} {told.get('case_csPCa')}"
        yield Patient(study, tables=tables, group=str(told["patient_id"]), stratum=stratum)


def with_logarithms(told: dict[str, Any], columns: Sequence[str]) -> dict[str, float]:
    """What was recorded of some columns, and the logarithm of each."""
    values = {column: number(told, column) for column in columns if column in told}
    return values | {f"log_{column}": math.log(value) for column, value in values.items() if value > 0}


def pirads(told: dict[str, Any]) -> dict[str, float]:
    """The reader's score of the lesions: the highest, the second, and how many have one; 0 where there is none."""
    text = str(told.get("lesion_PIRADS", ""))
    scores = sorted((int(score) for score in text.split(",") if score.strip().isdigit()), reverse=True)
    highest, second = [*scores, 0, 0][:2]
    return {"lesion_PIRADS": highest, "lesion_PIRADS_second": second, "lesion_PIRADS_count": len(scores)}


COHORT = Cohort(
    outcomes={"csPCa": OUTCOMES},
    patients=patients,
    tasks=("csPCa",),
    named=("lesion_PIRADS", "lesion_PIRADS_second", "lesion_PIRADS_count"),
)
