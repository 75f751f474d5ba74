"""A study with an answer, to be exported."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from answers import ORIENTATIONS, REGIONS, placed
from monai.data import MetaTensor

from polyscan.dicom.read import read_series
from polyscan.formats.nifti import write_nifti
from polyscan.study import Grid, PredictionRecord, Preparation, RegistrationRecord, Study, TaskPrediction, scans_of
from polyscan.study.sources import Sources, StudySources


@pytest.fixture
def answered(make_series, tmp_path):
    """Makes a study of two series of which the first is the reference, with a mask on it and a stage."""

    def make(orientation="axial", change=None):
        folder = make_series("CT", change=change or placed(*ORIENTATIONS[orientation]))
        moving = make_series("MR", modality="MR", change=placed(*ORIENTATIONS["axial"]))
        grid = read_series(folder)
        values = np.random.default_rng(0).choice([0, 0, 1, 2, 4], tuple(grid.shape)).astype(np.uint8)
        values[..., 2] = 0  # no frame of a binary segmentation
        write_nifti(tmp_path / "out" / "sub-a_pred.nii.gz", MetaTensor(torch.from_numpy(values), affine=grid.affine))
        sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "out" / "t.tfm"))
        study = Study("a", scans=scans_of({"CT": str(folder), "T1": str(moving)}))
        sources = Sources(studies={study.key: StudySources({"CT": str(folder), "T1": str(moving)})})
        study.preparation = Preparation(
            "default",
            "CT",
            grids={"CT": Grid(list(grid.shape[1:]), grid.affine.tolist())},
            registrations={"T1": RegistrationRecord(True, "fits", str(tmp_path / "out" / "t.tfm"))},
        )
        study.scans = scans_of({name: str(tmp_path / "prepared" / f"{name}.nii.gz") for name in study.scans})
        measures = {"lesions": 2, "suv_max": 7.25, "spread_mm": 31.5, "each": []}
        stage = TaskPrediction("2", probabilities={"1": 0.25, "2": 0.75}, measures=measures)
        path = str(tmp_path / "out" / "sub-a_pred.nii.gz")
        study.prediction = PredictionRecord(path, ["CT", "T1"], answers={"stage": stage}, regions=REGIONS)
        return study, sources, grid, values

    return make
