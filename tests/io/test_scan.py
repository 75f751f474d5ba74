from __future__ import annotations

import shutil

import pytest
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.manifest import read_manifest, write_manifest
from polyscan.io.nifti import write_nifti
from polyscan.io.scan import scan


def nifti(path, size=4):
    write_nifti(path, MetaTensor(torch.zeros(1, size, size, size), affine=torch.eye(4)))


def test_folders_name_the_subjects_not_the_headers(make_series, tmp_path):
    make_series("ward/anna/CT")
    make_series("ward/bert/scans/1", modality="PT", CorrectedImage=["ATTN"], PatientID="OTHER")
    manifest = scan(tmp_path / "ward")
    assert [(s.subject, list(s.images)) for s in manifest.testing] == [("anna", ["CT"]), ("bert", ["PET"])]
    write_manifest(tmp_path / "m.json", manifest)
    assert "SECRET" not in (tmp_path / "m.json").read_text().upper()


def test_one_patient_id_for_all_does_not_make_them_one(make_series, tmp_path):
    for name, study in (("anna", "1.2.1"), ("bert", "1.2.2")):
        make_series(f"ward/{name}/CT", StudyInstanceUID=study)
        make_series(f"ward/{name}/PET", StudyInstanceUID=study, modality="PT", CorrectedImage=["ATTN"])
    assert [(s.subject, sorted(s.images)) for s in scan(tmp_path / "ward").studies] == [
        ("anna", ["CT", "PET"]),
        ("bert", ["CT", "PET"]),
    ]


def test_folders_inside_one_patient_are_one_study(make_series, tmp_path):
    make_series("anna/CT", StudyInstanceUID="1.2.1")
    make_series("anna/PET", StudyInstanceUID="1.2.2", modality="PT", CorrectedImage=["ATTN"])
    (study,) = scan(tmp_path / "anna").studies
    assert (study.subject, sorted(study.images)) == ("anna", ["CT", "PET"])


def test_copies_of_a_study_stay_apart(make_series, tmp_path):
    folder = make_series("ward/anna/CT")
    shutil.copytree(folder.parent, tmp_path / "ward" / "copy")
    assert [s.subject for s in scan(tmp_path / "ward").studies] == ["anna", "copy"]


def test_two_patients_in_one_folder_are_numbered(make_series, tmp_path):
    make_series("ward/box/1")
    make_series("ward/box/2", PatientID="OTHER", StudyInstanceUID="1.2.9")
    assert [s.subject for s in scan(tmp_path / "ward").studies] == ["box-1", "box-2"]


def test_a_patients_studies_of_one_modality_are_sessions(make_series, tmp_path):
    make_series("ward/anna/late", StudyInstanceUID="1.2.1", StudyDate="20210101")
    make_series("ward/anna/early", StudyInstanceUID="1.2.2", StudyDate="20200101")
    studies = scan(tmp_path / "ward").studies
    assert [(s.session, s.images["CT"].rsplit("/", 1)[1]) for s in studies] == [("1", "early"), ("2", "late")]


def test_finest_series_is_taken_and_the_other_named(make_series, tmp_path):
    make_series(
        "ward/anna/thick", SliceThickness=5, change=lambda k, ds: setattr(ds, "ImagePositionPatient", [0, 0, 5 * k])
    )
    make_series("ward/anna/thin")
    (study,) = scan(tmp_path / "ward").studies
    decisions = {d["series"]: d for d in study.extra["decisions"]}
    assert study.images["CT"].endswith("thin")
    assert decisions["anna/thin"]["taken"]
    assert not decisions["anna/thick"]["taken"]
    assert "anna/thin has finer voxels (12 and 20 mm3)" in decisions["anna/thick"]["reason"]


def test_two_series_in_one_folder_are_told_apart(make_series, tmp_path):
    make_series("ward/anna", slices=5)
    for file in (tmp_path / "ward" / "anna").iterdir():
        file.rename(file.with_name("a" + file.name))
    make_series("ward/anna", modality="PT", CorrectedImage=["ATTN", "DECY"])
    (study,) = scan(tmp_path / "ward").studies
    assert {name: len(files) for name, files in study.images.items()} == {"CT": 5, "PET": 5}


def test_unusable_series_are_left_out_with_the_reason(make_series, tmp_path):
    make_series("ward/anna/CT")
    make_series("ward/anna/scout", slices=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    make_series("ward/anna/nac", modality="PT", CorrectedImage=["DECY"])
    (study,) = scan(tmp_path / "ward").studies
    reasons = {d["series"]: d["reason"] for d in study.extra["decisions"] if not d["taken"]}
    assert "localizer" in reasons["anna/scout"]
    assert "without attenuation correction" in reasons["anna/nac"]


def test_scans_of_one_frame_of_reference_are_aligned(data, tmp_path):
    manifest = scan(data / "sarcoma_ct_mr_pet" / "dicom")
    write_manifest(tmp_path / "m.json", manifest)
    again = read_manifest(tmp_path / "m.json")
    assert [s.subject for s in again.training] == ["STS_002", "STS_025"]
    for study in again.training:
        assert sorted(study.images) == sorted(study.aligned) == ["CT", "PET", "T1"]
        assert study.label["drawn_on"] == "CT"


def test_bids_tree_with_participants(tmp_path):
    root = tmp_path / "bids"
    for subject in ("01", "02"):
        nifti(root / f"sub-{subject}" / "anat" / f"sub-{subject}_T1w.nii.gz")
        nifti(root / f"sub-{subject}" / "anat" / f"sub-{subject}_ce-gd_T1w.nii.gz")
    truth = root / "derivatives" / "truth" / "sub-01"
    nifti(truth / "sub-01_space-T1c_dseg.nii.gz")
    nifti(truth / "sub-01_space-T1c_desc-brain_mask.nii.gz")
    table = "participant_id\tage\tsplit\tsite\nsub-01\t61\tvalidation\tn/a\nsub-02\t\t\tB\n"
    (root / "participants.tsv").write_text(table)
    manifest = scan(root)
    (first,), (second,) = manifest.validation, manifest.testing
    assert (first.subject, list(first.images), first.clinical) == ("01", ["T1", "T1c"], {"age": 61})
    assert first.label["drawn_on"] == "T1c"
    assert first.label["mask"].endswith("dseg.nii.gz")
    assert second.clinical == {"site": "B"}


def test_sessions_are_studies_of_their_own(tmp_path):
    for session in ("a", "b"):
        nifti(tmp_path / "r" / "sub-1" / f"ses-{session}" / f"sub-1_ses-{session}_FLAIR.nii.gz")
    assert [s.key for s in scan(tmp_path / "r").studies] == ["sub-1_ses-a", "sub-1_ses-b"]


def test_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(PolyscanError, match="No images found"):
        scan(tmp_path)
    with pytest.raises(PolyscanError, match="is no folder"):
        scan(tmp_path / "absent")


def test_table_without_subjects(tmp_path):
    nifti(tmp_path / "r" / "sub-1_T2w.nii.gz")
    (tmp_path / "t.csv").write_text("name,age\nx,1\n")
    with pytest.raises(PolyscanError, match="participant_id"):
        scan(tmp_path / "r", clinical=tmp_path / "t.csv")


def test_manifest_round_trip_keeps_everything(tmp_path):
    nifti(tmp_path / "r" / "sub-1" / "sub-1_T2w.nii.gz")
    manifest = scan(tmp_path / "r")
    for place in ("a.json", "deep/er/b.json"):
        write_manifest(tmp_path / place, manifest)
        assert read_manifest(tmp_path / place).studies == manifest.studies
    assert "../../r/sub-1" in (tmp_path / "deep/er/b.json").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "is no manifest"),
        ('{"training": [{"subject": "a"}]}', "'subject' or 'images'"),
        ('{"training": [{"subject": "a", "images": {}}, {"subject": "a!", "images": {}}]}', "twice"),
    ],
)
def test_bad_manifests_are_refused(tmp_path, text, words):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(PolyscanError, match=words):
        read_manifest(tmp_path / "m.json")


def test_rank_prefers_more_slices_of_equal_voxels(make_series, tmp_path):
    make_series("ward/anna/short", slices=4)
    make_series("ward/anna/long", slices=8)
    (study,) = scan(tmp_path / "ward").studies
    assert study.images["CT"].endswith("long")
    assert all(d["reason"] for d in study.extra["decisions"])
