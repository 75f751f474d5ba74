"""TCGA glioma: age, sex, histology, mutations, copy numbers and expression, with survival."""

from __future__ import annotations

from collections.abc import Iterator

from parts.part import Cohort, Form, Part, Patient, classes, known, number
from polyscan.study import Study

TABLES = {"mut": "mutations", "cnv": "copy_number", "rna": "expression"}


def patients(part: Part) -> Iterator[Patient]:
    """Columns of genes are named as in ``lgg_mri``: the gene and what was measured of it."""
    clinical = part.rows("case_id", part.names)
    arrays = {
        short: (table, part.array(f"{short}_genes"), part.numbers(short))
        for short, table in TABLES.items()
        if part.has(short)
    }
    for row, name in enumerate(part.names):
        told = clinical.get(name, {})
        study = Study(name)
        study.clinical = known(
            {
                "age": number(told, "age"),
                "sex": classes(told, "is_female", {1: "F", 0: "M"}),
                "histology": told.get("oncotree_code"),
            }
        )
        genes = {
            table: {f"{gene}_{short}": value for gene, value in zip(names, values[row].tolist(), strict=True)}
            for short, (table, names, values) in arrays.items()
        }
        idh = genes.get("mutations", {}).get("IDH1_mut")
        survival = {"time": number(told, "survival_months"), "event": classes(told, "event", {0: 0, 1: 1})}
        study.label.tasks = known(
            {
                "survival": None if None in survival.values() else survival,
                "IDH": {0.0: "wildtype", 1.0: "mutated"}.get(idh),
            }
        )
        yield Patient(study, tables=genes, stratum=f"{told.get('oncotree_code')} {told.get('event')}")


COHORT = Cohort(
    outcomes={
        "survival": ("survival_months", "censorship", "event"),
        "IDH": ("IDH1_mut", "histology", "oncotree_code"),
    },
    patients=patients,
    tasks=("survival",),
    forms={"patient": Form("n")}
    | {short: Form(f"n {short}") for short in TABLES}
    | {f"{short}_genes": Form(short) for short in TABLES},
)
