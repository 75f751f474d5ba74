"""Turn the 51 patients' patches of the soft-tissue sarcoma data into studies that ``polyscan prepare`` takes.

    python benchmarks/sarcoma_cohort.py ../shared/data/sarcoma_ct_mr_pet cohort/

Writes one NIfTI a modality and ``cohort/manifest.json``. The four patients whose original scans serve as examples
(STS_002, STS_025, STS_035, STS_041) stand under ``testing``, the other 47 under ``training``; every study has a fold.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.io.manifest import Manifest, write_manifest
from polyscan.io.nifti import write_nifti
from polyscan.study import Study

HELD_OUT = {"STS_002", "STS_025", "STS_035", "STS_041"}
OUTSIDE = {"CT": -1000.0, "T1": 0.0, "PET": 0.0}
FOLDS = 5


def main(source: Path, out: Path) -> None:
    """Write the cohort."""
    patches = np.load(source / "patches_48mm.npz")
    with (source / "clinical.csv").open() as file:
        patients = list(csv.DictReader(file))
    spacing = patches["spacing"]
    # The patches are arrays as ITK gives them, (z, y, x) in LPS+; centred, since their place in the body is not told.
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(patches["images"].shape[:1:-1]) - 1) / 2)
    manifest = Manifest()
    for row, patient in enumerate(patients):
        study = Study(patient["id"], aligned=list(OUTSIDE), fold=row % FOLDS)
        for channel, (modality, outside) in enumerate(OUTSIDE.items()):
            values = patches["images"][row, channel].astype(np.float32)
            study.images[modality] = save(out, study, modality, np.where(values == outside, np.nan, values), affine)
        study.label = {"mask": save(out, study, "dseg", patches["gtv"][row], affine), "drawn_on": "CT"}
        study.clinical = {"age": int(patient["age"].rstrip("Y")), "sex": patient["sex"]}
        (manifest.testing if patient["id"] in HELD_OUT else manifest.training).append(study)
    write_manifest(out / "manifest.json", manifest)


def save(out: Path, study: Study, name: str, values: np.ndarray, affine: np.ndarray) -> str:
    """Write one (z, y, x) array as NIfTI and return its path."""
    path = (out / study.key / f"{study.key}_{name}.nii.gz").resolve()
    image = torch.from_numpy(np.ascontiguousarray(values.transpose())[None])
    write_nifti(path, MetaTensor(image, affine=torch.from_numpy(affine)))
    return str(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
