"""TCGA lower-grade glioma: T1, FLAIR and T1c slices with lesion masks, clinical variables, mutations, expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parts.part import Cohort, Part, Patient, classes, known
from polyscan.study import Study

CHANNELS = ("T1", "FLAIR", "T1c")
TABLES = {"_mut": "mutations", "_cnv": "copy_number", "_rnaseq": "expression"}
TISSUE = ("subtype", "histology", "grade", "rnaseq_cluster", "methylation_cluster", "cn_cluster")


def patients(part: Part) -> Iterator[Patient]:
    """A contrast that was not acquired is a copy of FLAIR in the files: ``available`` alone tells."""
    clinical = part.table("patient", "age") or {}
    genes = part.table("patient", "IDH1_mut") or {}
    available = part.array("available").astype(bool)
    for row, name in enumerate(part.array("patient").tolist()):
        told = clinical.get(name, {})
        study = Study(name, aligned=list(CHANNELS))
        study.clinical = known(
            {
                "age": told.get("age"),
                "sex": classes(told, "sex", {"MALE": "M", "FEMALE": "F"}),
                **{column: told.get(column) for column in (*TISSUE, "kps")},
            }
        )
        study.label.tasks = known(
            {
                "IDH": classes(told, "idh1_mutated", {0: "wildtype", 1: "mutated"}),
                "1p19q": classes(told, "codel_1p19q", {0: "intact", 1: "codeleted"}),
                "grade": classes(told, "grade", {"G2": "2", "G3": "3"}),
                "survival": survival(told),
            }
        )
        volumes = {m: part.array("images")[row, k] for k, m in enumerate(CHANNELS) if available[row, k]}
        mask = part.array("lesion")[row] if part.has("lesion") else None
        stratum = f"{told.get('subtype', '')} {bool(available[row].all())}"
        yield Patient(study, volumes, mask, tables=tables(genes.get(name, {})), stratum=stratum)


def tables(row: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Mutations, copy numbers and expression of one patient; a table of which nothing was recorded is absent."""
    found = {
        table: {column: float(value) for column, value in row.items() if column.endswith(ending)}
        for ending, table in TABLES.items()
    }
    return {name: columns for name, columns in found.items() if columns}


def survival(told: dict[str, Any]) -> dict[str, float] | None:
    """Months from diagnosis, and whether they ended in death."""
    if "os_days" not in told or "death01" not in told:
        return None
    return {"time": round(told["os_days"] / 30.4375, 3), "event": int(told["death01"])}


COHORT = Cohort(
    outcomes={
        "lesion": ("lesion_px_all",),
        "IDH": ("IDH1_mut", "idh1_mutated", "codel_1p19q", *TISSUE),
        "1p19q": ("codel_1p19q", *TISSUE),
        "grade": TISSUE,
        "survival": ("death01", "os_days", "pfs_event", "pfs_days", "survival_months", "censorship"),
    },
    patients=patients,
    tasks=("lesion", "IDH", "1p19q", "grade", "survival"),
    named=("kps", *TISSUE),
    protocol="slices_mri",
    nominal=True,
)
