"""Turn the 51 patients' patches of the soft-tissue sarcoma data into studies that ``polyscan prepare`` takes.

    python benchmarks/sarcoma_cohort.py ../shared/data/sarcoma_ct_mr_pet cohort/

Writes one NIfTI a modality and ``cohort/manifest.json``, as ``data_manifests/soft_tissue_sarcoma.json`` says: the four
patients whose original scans serve as examples stand under ``testing``, the other 47 under ``training``; every study
has a fold.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.io.files import read_json
from polyscan.io.manifest import Manifest, write_manifest
from polyscan.io.nifti import write_nifti
from polyscan.study import Study

DATA = read_json(Path(__file__).resolve().parents[1] / "data_manifests" / "soft_tissue_sarcoma.json")


def main(source: Path, out: Path) -> None:
    """Write the cohort."""
    patches = np.load(source / DATA["patches"])
    with (source / DATA["patients"]).open() as file:
        patients = list(csv.DictReader(file))
    spacing = patches["spacing"]
    # The patches are arrays as ITK gives them, (z, y, x) in LPS+; centred, since their place in the body is not told.
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(patches["images"].shape[:1:-1]) - 1) / 2)
    manifest = Manifest()
    for row, patient in enumerate(patients):
        study = Study(patient["id"], aligned=list(DATA["modalities"]), fold=row % DATA["folds"])
        for modality, stored in DATA["modalities"].items():
            values = patches["images"][row, stored["channel"]].astype(np.float32)
            values[values == stored["outside"]] = np.nan
            study.images[modality] = save(out, study, modality, values, affine)
        mask = save(out, study, "dseg", patches[DATA["label"]["array"]][row], affine)
        study.label = {"mask": mask, "drawn_on": DATA["label"]["drawn_on"]}
        study.clinical = {"age": int(patient["age"].rstrip("Y")), "sex": patient["sex"]}
        (manifest.testing if patient["id"] in DATA["testing"] else manifest.training).append(study)
    write_manifest(out / "manifest.json", manifest)


def save(out: Path, study: Study, name: str, values: np.ndarray, affine: np.ndarray) -> str:
    """Write one (z, y, x) array as NIfTI and return its path."""
    path = (out / study.key / f"{study.key}_{name}.nii.gz").resolve()
    image = torch.from_numpy(np.ascontiguousarray(values.transpose())[None])
    write_nifti(path, MetaTensor(image, affine=torch.from_numpy(affine)))
    return str(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
