"""What the server does for a study, without a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polyscan.errors import PolyscanError
from polyscan.label_app.service import Bundle, StudyService
from polyscan.label_app.sources import FolderStudies
from polyscan.phantom import make_cohort

BRAIN = Path(__file__).resolve().parents[2] / "bundles" / "brain_mri_tumour_segmentation"


def test_finding_a_study_by_its_scan_converts_no_other(tmp_path):
    make_cohort(tmp_path / "heads", subjects=3, modalities=("FLAIR",), missing=0.0, format="dicom")
    service = StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])
    path = service.shown(service.study("sub-003"))
    assert service.find(str(path)).key == "sub-003"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_sessions_of_one_subject_are_kept_apart(tmp_path):
    make_cohort(tmp_path / "heads", subjects=1, modalities=("FLAIR",), missing=0.0)
    first = next((tmp_path / "heads" / "sub-001").rglob("*FLAIR.nii.gz"))
    second = tmp_path / "heads" / "sub-001" / "ses-2" / "anat" / "sub-001_ses-2_FLAIR.nii.gz"
    second.parent.mkdir(parents=True)
    shutil.copyfile(first, second)
    service = StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])
    assert set(service.studies()) == {"sub-001", "sub-001_ses-2"}
    for key in ("sub-001_ses-2", "sub-001"):
        service.answer(BRAIN.name, service.study(key), tmp_path / key)
    prepared = service.work / "prepared" / "brain_mri"
    assert sorted(file.parent.parent.name for file in prepared.glob("*/*/manifest.json")) == [
        "sub-001",
        "sub-001_ses-2",
    ]


def test_a_bundle_that_lacks_what_the_server_needs_is_refused(tmp_path):
    shutil.copytree(BRAIN / "configs", tmp_path / "bundle" / "configs")
    file = tmp_path / "bundle" / "configs" / "metadata.json"
    file.write_text(file.read_text().replace('"label_classes"', '"classes"'))
    with pytest.raises(PolyscanError, match="lacks 'label_classes'"):
        Bundle(tmp_path / "bundle")
