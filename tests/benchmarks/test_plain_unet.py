"""The plain network that stands beside polyscan's, on made slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from plain_unet import cross_validate, slices_of

from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study import Label, Study, scans_of
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


def study(folder, number):
    """Two slices with a bright lesion; the first study has no T1."""
    names = ["FLAIR", "T1"] if number else ["FLAIR"]
    lesion = torch.zeros(1, 32, 32, 2)
    lesion[:, 8:20, 8:20] = 1
    for name in names:
        write_nifti(folder / f"{number}_{name}.nii.gz", MetaTensor(3 * lesion + torch.randn(lesion.shape)))
    write_nifti(folder / f"{number}_dseg.nii.gz", MetaTensor(lesion))
    label = Label(mask=str(folder / f"{number}_dseg.nii.gz"))
    scans = scans_of({name: str(folder / f"{number}_{name}.nii.gz") for name in names})
    return Study(f"P{number}", scans=scans, label=label, fold=number % 3)


def test_missing_scans_are_zeros_that_say_so(tmp_path):
    found = slices_of(study(tmp_path, 0), ["T1", "FLAIR"])
    assert found.shape == (2, 4, 32, 32)
    assert not found[:, [0, 2]].any()
    assert (found[:, 3] == 1).all()
    np.testing.assert_array_equal(found[1, 1], read_nifti(tmp_path / "0_FLAIR.nii.gz")[0, ..., 1])


def test_folds_are_answered_for_and_scored(tmp_path):
    studies = [study(tmp_path, number) for number in range(4)]
    write_manifest(tmp_path / "manifest.json", Manifest(studies))
    out = cross_validate(tmp_path / "manifest.json", tmp_path / "out", ["T1", "FLAIR"], [0, 1], 0, 4, 0.001)
    answered = read_manifest(out).testing
    assert [(s.subject, s.prediction.present) for s in answered] == [
        ("P0", ["FLAIR"]),
        ("P3", ["T1", "FLAIR"]),
        ("P1", ["T1", "FLAIR"]),
    ]
    for one in answered:
        found, truth = (read_nifti(path).numpy() > 0 for path in (one.prediction.path, one.label.mask))
        expected = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        assert one.prediction.scores["lesion"].dice == pytest.approx(expected)
