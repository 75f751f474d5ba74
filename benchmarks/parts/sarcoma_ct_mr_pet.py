"""Soft-tissue sarcoma: CT, T1 and PET in a cube about the tumour, with the tumour and metastasis to the lung.

What was measured within the tumour that an expert drew is an input of metastasis where it is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parts.part import Cohort, Form, Part, Patient, classes, known, number
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.study import Study
from polyscan.study.table import value

DATA = read_json(Path(__file__).with_name("soft_tissue_sarcoma.json"))
METASTASIS = {0: "no", 1: "yes"}
MEASURED = {
    "measured_size": ("gtv_ml_ct",),
    "measured_PET": ("suvmax_gtv", "suvmean_gtv"),
    "measured_CT": ("hu_mean_gtv", "hu_sd_gtv"),
    "measured_T1": ("t1_mean_gtv", "t1_sd_gtv"),
}
FROM_TUMOUR = tuple(column for columns in MEASURED.values() for column in columns)


def patients(part: Part) -> Iterator[Patient]:
    """The rows of the archive are those of the table; what lies outside a field of view is NaN.

    Patients whose original scans serve as examples stand under ``testing``, so that no shipped weights have seen them.
    """
    rows = part.rows("id")
    images = part.array("images")
    if len(rows) != len(images):
        raise PolyscanError(
            f"The archive does not name its {len(images)} patients, and the tables tell of {len(rows)}; give one "
            "archive with a table of its patients, in the same order."
        )
    check_grid(part)
    for row, (name, told) in enumerate(rows.items()):
        study = Study(name, aligned=list(DATA["modalities"]), fold=row % DATA["folds"])
        study.clinical = known({"age": age(told), "sex": told.get("sex")})
        study.label.tasks = known({"metastasis": classes(told, "lung_metastasis", METASTASIS)})
        stored = METASTASIS[int(part.array("label")[row])] if part.has("label") else None
        if stored is not None and study.label.tasks.get("metastasis", stored) != stored:
            raise PolyscanError(f"{name} is not row {row} of the archive, by its label; give a table in its order.")
        volumes = {}
        for modality, stored in DATA["modalities"].items():
            values = images[row, stored["channel"]].astype(np.float32)
            values[values == stored["outside"]] = np.nan
            volumes[modality] = values
        mask = part.array(DATA["label"]["array"])[row] if part.has(DATA["label"]["array"]) else None
        tables = {name: known({column: number(told, column) for column in of}) for name, of in MEASURED.items()}
        yield Patient(study, volumes, mask, tables=tables, section="testing" if name in DATA["testing"] else "training")


def check_grid(part: Part) -> None:
    """Refuse other channels and another spacing.

    Raises:
        PolyscanError: see there.
    """
    if part.has("channels"):
        channels = [name.partition("_")[0] for name in part.array("channels").tolist()]
        if channels != list(DATA["modalities"]):
            raise PolyscanError(f"The channels are {channels}, where {list(DATA['modalities'])} are expected.")
    if part.has("spacing") and not np.allclose(part.array("spacing"), COHORT.spacing, atol=1e-3):
        raise PolyscanError(f"The spacing is {part.array('spacing').tolist()}, where {COHORT.spacing} is expected.")


def age(told: Mapping[str, Any]) -> float | None:
    """Years, which DICOM writes as ``059Y``."""
    return number({"age": value(str(told["age"]).removesuffix("Y"))}, "age") if "age" in told else None


COHORT = Cohort(
    outcomes={"tumour": FROM_TUMOUR, "metastasis": ("lung_metastasis",)},
    patients=patients,
    tasks=("tumour", "metastasis"),
    named=FROM_TUMOUR,
    forms={"images": Form("n 3 z y x"), "gtv": Form("n z y x", highest=1), "label": Form("n", highest=1)},
    protocol="default",
    spacing=(3.27, 3.27, 3.27),
    given={"PET": {"Units": "SUV"}},
)
