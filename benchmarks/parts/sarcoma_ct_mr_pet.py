"""Soft-tissue sarcoma: CT, T1 and PET in a cube about the tumour, with the tumour and metastasis to the lung."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from parts.part import Cohort, Part, Patient, classes, known
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.study import Study

DATA = read_json(Path(__file__).with_name("soft_tissue_sarcoma.json"))
FROM_TUMOUR = ("gtv_ml_ct", "suvmax_gtv", "suvmean_gtv", "hu_mean_gtv", "hu_sd_gtv", "t1_mean_gtv", "t1_sd_gtv")


def patients(part: Part) -> Iterator[Patient]:
    """The rows of the archive are those of the table; what lies outside a field of view is NaN.

    Patients whose original scans serve as examples stand under ``testing``, so that no shipped weights have seen them.
    """
    rows = part.table("id", "sex")
    images = part.array("images")
    if rows is None or len(rows) != len(images):
        raise PolyscanError(f"The archive has {len(images)} patients, whom it does not name; give its clinical table.")
    for row, (name, told) in enumerate(rows.items()):
        study = Study(name, aligned=list(DATA["modalities"]), fold=row % DATA["folds"])
        study.clinical = known(
            {"age": int(str(told["age"]).rstrip("Y")) if "age" in told else None, "sex": told.get("sex")}
        )
        study.label.tasks = known({"metastasis": classes(told, "lung_metastasis", {0: "no", 1: "yes"})})
        volumes = {}
        for modality, stored in DATA["modalities"].items():
            values = images[row, stored["channel"]].astype(np.float32)
            values[values == stored["outside"]] = np.nan
            volumes[modality] = values
        mask = part.array(DATA["label"]["array"])[row] if part.has(DATA["label"]["array"]) else None
        yield Patient(study, volumes, mask, section="testing" if name in DATA["testing"] else "training")


COHORT = Cohort(
    outcomes={"tumour": FROM_TUMOUR, "metastasis": ("lung_metastasis", *FROM_TUMOUR)},
    patients=patients,
    tasks=("tumour", "metastasis"),
    protocol="default",
    spacing=(3.27, 3.27, 3.27),
    given={"PET": {"Units": "SUV"}},
)
