"""Which scan an uploaded file is, and that nothing beside it is looked at."""

from __future__ import annotations

import shutil

import pytest

from polyscan.errors import PolyscanError
from polyscan.label_app.uploads import uploaded_study
from polyscan.phantom import make_cohort

HEAD = ["T1", "T1c", "T2", "FLAIR"]


def sources(study) -> dict:
    return {name: scan.source for name, scan in study.scans.items()}


def test_only_the_file_itself_is_looked_at(tmp_path):
    for name in ("tmp1a2b.nii.gz", "FLAIR.nii.gz", "sub-002_T2w.nii.gz"):
        (tmp_path / name).touch()
    study, assumed = uploaded_study(tmp_path / "tmp1a2b.nii.gz", HEAD)
    assert sources(study) == {"T1c": str(tmp_path / "tmp1a2b.nii.gz")}
    assert "it was read as T1c" in assumed
    study, assumed = uploaded_study(tmp_path / "sub-002_T2w.nii.gz", HEAD)
    assert (sources(study), assumed) == ({"T2": str(tmp_path / "sub-002_T2w.nii.gz")}, "")
    for name in ("tmp1a2b.nii.gz", "FLAIR.nii.gz"):  # what the client says counts more than a name
        study, assumed = uploaded_study(tmp_path / name, HEAD, "T2")
        assert (sources(study), assumed) == ({"T2": str(tmp_path / name)}, "")


def test_a_name_that_a_program_made_up_tells_nothing(tmp_path):
    (tmp_path / "tmpab_cd_t2.nii.gz").touch()
    study, assumed = uploaded_study(tmp_path / "tmpab_cd_t2.nii.gz", HEAD)
    assert list(study.scans) == ["T1c"]
    assert assumed


def test_several_volumes_are_one_study(tmp_path):
    for name in ("FLAIR.nii.gz", "sub-001_ce-gd_T1w.nii.gz", "tmp1a2b.nii.gz"):
        (tmp_path / name).touch()
    study, _ = uploaded_study(tmp_path, HEAD, "T2")
    assert set(study.scans) == {"FLAIR", "T1c", "T2"}
    with pytest.raises(PolyscanError, match="Two of the scans are FLAIR"):
        uploaded_study(tmp_path, HEAD, "FLAIR")
    study, assumed = uploaded_study(tmp_path, HEAD)
    assert set(study.scans) == {"FLAIR", "T1c", "T1"}, "the first that is not there"
    assert "it was read as T1:" in assumed
    (tmp_path / "tmp3c4d.nii.gz").touch()
    study, assumed = uploaded_study(tmp_path, HEAD, {"tmp1a2b.nii.gz": "T2", "tmp3c4d.nii.gz": "T1"})
    assert (set(study.scans), assumed) == ({"FLAIR", "T1c", "T2", "T1"}, "")
    with pytest.raises(PolyscanError, match=r"modality speaks of x.nii.gz, which was not sent"):
        uploaded_study(tmp_path, HEAD, {"x.nii.gz": "T2"})
    with pytest.raises(PolyscanError, match="2 of 4 scans have names that tell no modality"):
        uploaded_study(tmp_path, HEAD, "T2")
    with pytest.raises(PolyscanError, match="modality is 'CT'; expected one that the model reads: T1, T1c"):
        uploaded_study(tmp_path / "FLAIR.nii.gz", HEAD, "CT")


def test_dicom_of_two_patients_is_refused(tmp_path):
    make_cohort(tmp_path, subjects=2, modalities=("FLAIR",), missing=0.0, format="dicom")
    study, _ = uploaded_study(tmp_path / "sub-001", HEAD)
    assert list(study.scans) == ["FLAIR"]
    shutil.rmtree(tmp_path / "derivatives", ignore_errors=True)
    with pytest.raises(PolyscanError, match="the scans of 2 studies"):
        uploaded_study(tmp_path, HEAD)
