"""What the server does for a study, without a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from polyscan.bundle import run as runs
from polyscan.errors import PolyscanError
from polyscan.label_app.service import Bundle, StudyService, UnknownStudyError
from polyscan.label_app.sources import FolderStudies
from polyscan.phantom import make_cohort

BRAIN = Path(__file__).resolve().parents[2] / "bundles" / "brain_mri_tumour_segmentation"


def test_a_scan_is_converted_until_it_changes(tmp_path):
    make_cohort(tmp_path / "heads", subjects=3, modalities=("FLAIR",), missing=0.0, format="dicom")
    service = StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])
    path = service.shown(service.find("sub-003"))
    assert service.shown(service.find("sub-003")) == path
    assert list((service.work / "shown").rglob("*.nii.gz")) == [path], "no other study is converted"
    before = nibabel.load(path).get_fdata()
    shutil.rmtree(tmp_path / "heads" / "sub-003")
    shutil.copytree(tmp_path / "heads" / "sub-001", tmp_path / "heads" / "sub-003")
    after = nibabel.load(service.shown(service.find("sub-003"))).get_fdata()
    assert not np.array_equal(before, after), "another patient's scan came to lie there"


def test_a_series_that_comes_later_is_seen_at_any_depth(tmp_path):
    make_cohort(tmp_path / "heads", subjects=1, modalities=("T1c", "FLAIR"), missing=0.0)
    late = next((tmp_path / "heads" / "sub-001").rglob("*FLAIR.nii.gz"))
    late.rename(tmp_path / "late.nii.gz")
    studies = FolderStudies(tmp_path / "heads")
    assert list(studies.all()["sub-001"].scans) == ["T1c"]
    (tmp_path / "late.nii.gz").rename(late)
    assert list(studies.all()["sub-001"].scans) == ["FLAIR", "T1c"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("STS_001/FLAIR.nii.gz", "STS001/T1c.nii.gz"),  # one name in files
        ("STS_001/FLAIR.nii.gz", "STS001/MRI.png"),
        ("STSÖ01/FLAIR.nii.gz", "STSO01/FLAIR.nii.gz"),
    ],
)
def test_a_name_that_means_two_patients_is_refused(tmp_path, first, second):
    make_cohort(tmp_path / "made", subjects=1, modalities=("FLAIR",), missing=0.0)
    scan = next((tmp_path / "made" / "sub-001").rglob("*FLAIR.nii.gz"))
    for name in (first, second, "other/FLAIR.nii.gz"):
        (tmp_path / "studies" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scan, tmp_path / "studies" / name)
    studies = FolderStudies(tmp_path / "studies")
    assert set(studies.all()) == {"sub-other"}
    with pytest.raises(PolyscanError, match="rename"):
        studies.find("sub-STSO01" if "STSO01" in second else "sub-STS001")


def test_two_sites_that_count_alike_are_kept_apart(tmp_path):
    make_cohort(tmp_path / "made", subjects=1, modalities=("FLAIR",), missing=0.0)
    scan = next((tmp_path / "made" / "sub-001").rglob("*FLAIR.nii.gz"))
    for site in ("here", "there"):
        (tmp_path / "studies" / site).mkdir(parents=True)
        shutil.copyfile(scan, tmp_path / "studies" / site / "sub-01_FLAIR.nii.gz")
    studies = FolderStudies(tmp_path / "studies")
    assert set(studies.all()) == {"sub-here01", "sub-there01"}
    assert studies.find("sub-01") is None


def test_sessions_of_one_subject_are_kept_apart(tmp_path):
    make_cohort(tmp_path / "heads", subjects=1, modalities=("FLAIR",), missing=0.0)
    first = next((tmp_path / "heads" / "sub-001").rglob("*FLAIR.nii.gz"))
    second = tmp_path / "heads" / "sub-001" / "ses-2" / "anat" / "sub-001_ses-2_FLAIR.nii.gz"
    second.parent.mkdir(parents=True)
    shutil.copyfile(first, second)
    service = StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])
    assert set(service.studies()) == {"sub-001", "sub-001_ses-2"}
    for key in ("sub-001_ses-2", "sub-001"):
        service.predict(BRAIN.name, service.find(key), tmp_path / key)
    prepared = service.work / "prepared" / "brain_mri"
    assert sorted(file.parent.name for file in prepared.glob("*/study.json")) == ["sub-001", "sub-001_ses-2"]


def test_a_bundle_that_lacks_what_the_server_needs_is_refused(tmp_path):
    shutil.copytree(BRAIN / "configs", tmp_path / "bundle" / "configs")
    file = tmp_path / "bundle" / "configs" / "metadata.json"
    file.write_text(file.read_text().replace('"label_classes"', '"classes"'))
    with pytest.raises(PolyscanError, match="has label_classes None"):
        Bundle(tmp_path / "bundle")


def test_the_mask_lies_on_the_series_that_is_named(tmp_path, monkeypatch):
    loads, load = [], runs.load_predictor
    monkeypatch.setattr(runs, "load_predictor", lambda *what, **how: loads.append(what) or load(*what, **how))
    make_cohort(tmp_path / "heads", subjects=2, seed=5, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    service = StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])
    series = {}
    for name in ("T1c", "FLAIR"):
        header = pydicom.dcmread(next((tmp_path / "heads" / "sub-002" / name).iterdir()), stop_before_pixels=True)
        series[name] = header.SeriesInstanceUID
    assert service.find(header.StudyInstanceUID).key == service.find("sub-002").key == "sub-002"
    with pytest.raises(UnknownStudyError):
        service.find(f"{header.StudyInstanceUID}.1")
    masses = {}
    for name, uid in series.items():
        found = service.find(uid)
        assert (found.key, found.shown.name) == ("sub-002", name)
        path, facts = service.predict(BRAIN.name, found, tmp_path / name)
        assert (facts["series"], facts["assumed"]) == (name, "")
        shown, mask = nibabel.load(service.shown(found)), nibabel.load(path)
        assert shown.shape == mask.shape
        np.testing.assert_allclose(shown.affine, mask.affine, atol=1e-4)
        values = np.asarray(mask.dataobj)
        masses[name] = (values > 0).sum() * abs(np.linalg.det(mask.affine[:3, :3]))
        inside = shown.get_fdata()[values > 0]
        assert np.median(inside) > 0.2 * np.percentile(shown.get_fdata(), 99), "it must lie in the head"
    assert nibabel.load(service.shown(service.find(series["T1c"]))).shape != shown.shape, "two grids are needed here"
    assert masses["FLAIR"] == pytest.approx(masses["T1c"], rel=0.1)
    assert len(loads) == 1, "the bundle stays loaded"
