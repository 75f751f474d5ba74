"""How large the page of a study is, and how soon it is drawn: python benchmarks/study_page.py [FOLDER].

Four made contrasts of 240 x 240 x 155 voxels of 1 mm, three registered, with a mask, its truth and probabilities,
and noise of a fiftieth of the range, as in a good scan, and of a fifth, which no scan has.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.formats.nifti import write_nifti
from polyscan.report import write_study_page
from polyscan.study import Label, PredictionRecord, Preparation, RegistrationRecord, Scan, Study

SHAPE = (240, 240, 155)
CONTRASTS = ("T1", "T1c", "T2", "FLAIR")


def made_study(folder: Path, noise: float) -> Study:
    """A head with folds, and a lesion, in every contrast."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1.2, 1.2, n, dtype=np.float32) for n in SHAPE), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    folds = np.sin(18 * x + 5 * np.sin(11 * y)) * np.sin(16 * y + 4 * np.sin(9 * z)) * np.sin(17 * z)
    lesion = (x - 0.3) ** 2 + (y + 0.2) ** 2 + z**2 < 0.06
    scans, affine = {}, torch.eye(4, dtype=torch.float64)
    for name, weight in zip(CONTRASTS, (0.3, -0.2, 0.4, 0.25), strict=True):
        values = np.where(radius < 1, 0.6 + weight * folds + 0.3 * lesion, 0) + rng.normal(0, noise, SHAPE)
        scans[name] = Scan(str(folder / f"{name}.nii.gz"))
        write_nifti(scans[name].path, MetaTensor(torch.from_numpy(values[None].astype(np.float32)), affine=affine))
    mask, probability, transform = folder / "mask.nii.gz", folder / "prob.nii.gz", folder / "t.tfm"
    write_nifti(mask, MetaTensor(torch.from_numpy(lesion[None].astype(np.uint8)), affine=affine))
    write_nifti(probability, MetaTensor(torch.from_numpy(1 / (1 + np.exp(9 * (radius[None] - 0.5)))), affine=affine))
    sitk.WriteTransform(sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.05, 0, 0, (3.0, 0, 0)), str(transform))
    registered = {name: RegistrationRecord(True, "made", str(transform)) for name in ("T1", "T2", "FLAIR")}
    study = Study("made", scans=scans, label=Label(str(mask)))
    study.preparation = Preparation("brain_mri", "T1c", registrations=registered)
    study.prediction = PredictionRecord(
        str(mask), list(CONTRASTS), regions={"lesion": [1]}, probabilities=str(probability)
    )
    return study


def main(folder: Path) -> None:
    """Draw one page a level of noise."""
    for noise in (0.02, 0.2):
        study = made_study(folder, noise)
        start = time.perf_counter()
        page = write_study_page(study, folder / f"noise_{noise}.html")
        took = time.perf_counter() - start
        print(f"noise {noise}: {page.stat().st_size / 1e6:.1f} MB in {took:.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
