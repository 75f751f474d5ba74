"""UCSF-PDGM: diffuse gliomas, with age and sex and what was measured of the tumour in the scan."""

from __future__ import annotations

from collections.abc import Iterator

from parts.part import Cohort, Part, Patient, classes, known, number
from polyscan.errors import PolyscanError
from polyscan.study import Study

TABLES = {
    "shape": ("original_shape_",),
    "intensity": ("original_firstorder_",),
    "texture": ("original_glcm_", "original_glrlm_", "original_glszm_", "original_gldm_"),
}
TISSUE = (
    "WHO CNS Grade",
    "Final pathologic diagnosis (WHO 2021)",
    "MGMT status",
    "MGMT index",
    "1p/19q",
    "IDH",
    "label_idh_mut",
    "label_grade4",
)
MGMT = {"positive": "methylated", "negative": "unmethylated"}


def patients(part: Part) -> Iterator[Patient]:
    """Radiomics in three tables. What the tissue, treatment and survival told is no input."""
    rows = part.rows("ID")
    if not rows:
        raise PolyscanError("No table is given; give the table of radiomics and labels.")
    for name, told in rows.items():
        study = Study(name)
        study.clinical = known({"age": number(told, "Age at MRI"), "sex": told.get("Sex")})
        study.label.tasks = known(
            {
                "IDH": classes(told, "label_idh_mut", {0: "wildtype", 1: "mutated"}),
                "grade": classes(told, "label_grade4", {0: "2 or 3", 1: "4"}),
                "MGMT": MGMT.get(str(told.get("MGMT status"))),
            }
        )
        tables = {
            table: known({column: number(told, column) for column in told if column.startswith(beginnings)})
            for table, beginnings in TABLES.items()
        }
        yield Patient(study, tables=tables, stratum=f"{study.label.tasks.get('IDH')}")


COHORT = Cohort(
    outcomes=dict.fromkeys(("IDH", "grade", "MGMT"), TISSUE), patients=patients, tasks=("IDH", "grade", "MGMT")
)
