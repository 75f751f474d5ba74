"""PI-CAI: PSA, its density, volumes and age of men with prostate MRI at three centres."""

from __future__ import annotations

import math
import re
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
        if "patient_id" not in told:
            raise PolyscanError(f"Study {name} has no patient_id, without which a man may be in two folds; fill it in.")
        study = Study(str(told["patient_id"]), session=name, centre=told.get("center"))
        study.clinical = known({"age": number(told, "patient_age")})
        study.label.tasks = known({"csPCa": classes(told, "case_csPCa", {"NO": "no", "YES": "yes"})})
        tables = {table: with_logarithms(told, columns) for table, columns in TABLES.items()}
        tables["reader"] = pirads(told)
        stratum = f"{told.get('center')} {told.get('case_csPCa')}"
        yield Patient(study, tables=tables, group=str(told["patient_id"]), stratum=stratum)


def with_logarithms(told: dict[str, Any], columns: Sequence[str]) -> dict[str, float]:
    """What was recorded of some columns, and the logarithm of each; 0 was rounded and is left out, as it has none.

    Raises:
        PolyscanError: a value is no number, or below 0.
    """
    values = known({column: number(told, column) for column in columns})
    for column, value in values.items():
        if value < 0:
            raise PolyscanError(
                f"{column} is {value}, where none is below 0; leave it empty where it was not recorded."
            )
    return {name: one for c, v in values.items() if v for name, one in ((c, v), (f"log_{c}", math.log(v)))}


def pirads(told: dict[str, Any]) -> dict[str, float]:
    """The reader's score of the lesions: the highest, the second, and how many have one; 0 where there is none.

    Two scores, and a comma between them, were read as one number in a table of decimal commas.

    Raises:
        PolyscanError: a score is none of 1 to 5.
    """
    text = str(told.get("lesion_PIRADS", "N/A"))
    each = [score.strip() for score in re.split("[,.]", text)]
    if not set(each) <= {"1", "2", "3", "4", "5", "N/A"}:
        raise PolyscanError(f"lesion_PIRADS is {text!r}, where 1 to 5 or N/A are expected, and commas between.")
    scores = sorted((int(score) for score in each if score != "N/A"), reverse=True)
    highest, second = [*scores, 0, 0][:2]
    return {"lesion_PIRADS": highest, "lesion_PIRADS_second": second, "lesion_PIRADS_count": len(scores)}


COHORT = Cohort(
    outcomes={"csPCa": OUTCOMES},
    patients=patients,
    tasks=("csPCa",),
    named=("lesion_PIRADS", "lesion_PIRADS_second", "lesion_PIRADS_count"),
)
