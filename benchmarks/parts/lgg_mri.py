"""TCGA lower-grade glioma: T1, FLAIR and T1c slices with lesion masks, clinical variables, mutations, expression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parts.part import Cohort, Form, Part, Patient, classes, known, number
from polyscan.study import Study

CHANNELS = ("T1", "FLAIR", "T1c")
TABLES = {"_mut": "mutations", "_cnv": "copy_number", "_rnaseq": "expression"}
TISSUE = ("subtype", "histology", "grade", "rnaseq_cluster", "methylation_cluster", "cn_cluster")


def patients(part: Part) -> Iterator[Patient]:
    """A contrast that was not acquired is a copy of FLAIR in the files: ``available`` alone tells."""
    rows = part.rows("patient", part.names)
    available = part.array("available").astype(bool)
    for row, name in enumerate(part.names):
        told = rows.get(name, {})
        study = Study(name, aligned=list(CHANNELS))
        study.clinical = known(
            {
                "age": number(told, "age"),
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
        yield Patient(study, volumes, mask, tables=tables(told), stratum=stratum)


def tables(row: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Mutations, copy numbers and expression of one patient; a table of which nothing was recorded is absent."""
    found = {
        table: {column: number(row, column) for column in row if column.endswith(ending)}
        for ending, table in TABLES.items()
    }
    return {name: columns for name, columns in found.items() if columns}


def survival(told: dict[str, Any]) -> dict[str, float] | None:
    """Months from diagnosis, and whether they ended in death."""
    days, event = number(told, "os_days"), classes(told, "death01", {0: 0, 1: 1})
    return None if days is None or event is None else {"time": round(days / 30.4375, 3), "event": event}


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
    forms={
        "images": Form("n 3 z y x"),
        "lesion": Form("n z y x", highest=1),
        "available": Form("n 3", highest=1),
        "patient": Form("n"),
    },
    protocol="slices_mri",
    nominal=True,
)
