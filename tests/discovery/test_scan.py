from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.formats.read import read_image
from polyscan.study import Scan
from polyscan.study.manifest import read_manifest, write_manifest


def nifti(path, size=4):
    write_nifti(path, MetaTensor(torch.zeros(1, size, size, size), affine=torch.eye(4)))


def test_folders_name_the_subjects_not_the_headers(make_series, tmp_path):
    make_series("ward/anna/CT")
    make_series("ward/bert/scans/1", modality="PT", CorrectedImage=["ATTN"], PatientID="OTHER")
    manifest = scan(tmp_path / "ward")
    assert [(s.subject, list(s.scans)) for s in manifest.testing] == [("anna", ["CT"]), ("bert", ["PET"])]
    write_manifest(tmp_path / "m.json", manifest)
    assert "SECRET" not in (tmp_path / "m.json").read_text().upper()


def test_one_patient_id_for_all_does_not_make_them_one(make_series, tmp_path):
    for name, study in (("anna", "1.2.1"), ("bert", "1.2.2")):
        make_series(f"ward/{name}/CT", StudyInstanceUID=study)
        make_series(f"ward/{name}/PET", StudyInstanceUID=study, modality="PT", CorrectedImage=["ATTN"])
    assert [(s.subject, sorted(s.scans)) for s in scan(tmp_path / "ward").studies] == [
        ("anna", ["CT", "PET"]),
        ("bert", ["CT", "PET"]),
    ]


def test_folders_inside_one_patient_are_one_study(make_series, tmp_path):
    make_series("anna/CT", StudyInstanceUID="1.2.1")
    make_series("anna/PET", StudyInstanceUID="1.2.2", modality="PT", CorrectedImage=["ATTN"])
    (study,) = scan(tmp_path / "anna").studies
    assert (study.subject, sorted(study.scans)) == ("anna", ["CT", "PET"])


def test_copies_of_a_study_stay_apart(make_series, tmp_path):
    folder = make_series("ward/anna/CT")
    shutil.copytree(folder.parent, tmp_path / "ward" / "copy")
    assert [s.subject for s in scan(tmp_path / "ward").studies] == ["anna", "copy"]


def test_two_patients_in_one_folder_are_named_by_those_in_it(make_series, tmp_path):
    make_series("ward/box/1")
    make_series("ward/box/2", PatientID="OTHER", StudyInstanceUID="1.2.9")
    assert [s.subject for s in scan(tmp_path / "ward").studies] == ["1", "2"]


def test_a_patients_studies_of_one_modality_are_sessions(make_series, tmp_path):
    make_series("ward/anna/late", StudyInstanceUID="1.2.1", StudyDate="20210101")
    make_series("ward/anna/early", StudyInstanceUID="1.2.2", StudyDate="20200101")
    studies = scan(tmp_path / "ward").studies
    assert [(s.session, s.scans["CT"].path.rsplit("/", 1)[1]) for s in studies] == [("1", "early"), ("2", "late")]


def test_finest_series_is_taken_and_the_other_named(make_series, tmp_path):
    make_series(
        "ward/anna/thick", SliceThickness=5, change=lambda k, ds: setattr(ds, "ImagePositionPatient", [0, 0, 5 * k])
    )
    make_series("ward/anna/thin")
    (study,) = scan(tmp_path / "ward").studies
    decisions = {d.series: d for d in study.decisions}
    assert study.scans["CT"].path.endswith("thin")
    assert decisions["anna/thin"].taken
    assert not decisions["anna/thick"].taken
    assert "anna/thin has finer voxels (12 and 20 mm3)" in decisions["anna/thick"].reason


def test_two_series_in_one_folder_are_told_apart(make_series, tmp_path):
    make_series("ward/anna", slices=5)
    for file in (tmp_path / "ward" / "anna").iterdir():
        file.rename(file.with_name("a" + file.name))
    make_series("ward/anna", modality="PT", CorrectedImage=["ATTN", "DECY"])
    (study,) = scan(tmp_path / "ward").studies
    assert {name: len(one.source) for name, one in study.scans.items()} == {"CT": 5, "PET": 5}


def test_unusable_series_are_left_out_with_the_reason(make_series, tmp_path):
    make_series("ward/anna/CT")
    make_series("ward/anna/scout", slices=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    make_series("ward/anna/nac", modality="PT", CorrectedImage=["DECY"])
    (study,) = scan(tmp_path / "ward").studies
    reasons = {d.series: d.reason for d in study.decisions if not d.taken}
    assert "localizer" in reasons["anna/scout"]
    assert "without attenuation correction" in reasons["anna/nac"]


def test_scans_of_one_frame_of_reference_are_aligned(data, tmp_path):
    manifest = scan(data / "sarcoma_ct_mr_pet" / "dicom")
    write_manifest(tmp_path / "m.json", manifest)
    again = read_manifest(tmp_path / "m.json")
    assert [s.subject for s in again.training] == ["STS_002", "STS_025"]
    for study in again.training:
        assert sorted(study.scans) == sorted(study.aligned) == ["CT", "PET", "T1"]
        assert study.label.drawn_on == "CT"


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
    with pytest.raises(PolyscanError, match=r"has no participants\.tsv; name one"):
        scan(tmp_path / "r", columns=["age"])


@pytest.mark.parametrize(("day", "said"), [("20200301", 1), ("20200102", 0)])
def test_scans_of_one_study_that_are_far_apart_are_said(make_series, tmp_path, day, said):
    make_series("ward/anna/ct", StudyDate="20200101", StudyInstanceUID="1.2.1")
    make_series("ward/anna/mr", StudyDate=day.replace("0301", "0303"), modality="MR", SeriesDescription="T1")
    found = scan(tmp_path / "ward")
    assert list(found.studies[0].scans) == ["CT", "T1"]
    assert (
        found.doubts
        == [
            "sub-anna has scans that were made 62 days apart: if those are two visits, put each into a "
            "folder of its own."
        ]
        * said
    )


def test_voxels_that_differ_by_rounding_are_equal(make_series, tmp_path):
    make_series("ward/anna/few", PixelSpacing=[1.9999, 1.9999])
    make_series("ward/anna/many", slices=9)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].path.endswith("many")


def test_rank_prefers_more_slices_of_equal_voxels(make_series, tmp_path):
    make_series("ward/anna/short", slices=4)
    make_series("ward/anna/long", slices=8)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["CT"].path.endswith("long")
    assert all(d.reason for d in study.decisions)


@pytest.mark.parametrize(
    "names", [("Müller", "Möller"), ("P-12", "P-1_2"), ("A-1", "A1"), ("王伟", "李娜"), ("a1", "A1")], ids="-".join
)
def test_every_subject_gets_a_key_of_its_own(tmp_path, names):
    for name in names:
        nifti(tmp_path / "r" / name / "T1.nii.gz")
    nifti(tmp_path / "r" / "Ørsted" / "unknown.nii.gz")  # of whom no study comes, and nothing need be said
    (tmp_path / "r" / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"{name}\t{k}\n" for k, name in enumerate(names, start=1)), encoding="utf-8"
    )
    manifest = scan(tmp_path / "r")
    write_manifest(tmp_path / "m.json", manifest)
    studies = read_manifest(tmp_path / "m.json").studies
    assert len({study.key.casefold() for study in studies}) == 2
    assert {study.clinical["age"] for study in studies} == {1, 2}
    assert all(name in manifest.renamed or name in [s.subject for s in studies] for name in names)
    assert set(manifest.renamed) <= set(names)


def test_links_are_followed_once_and_keep_their_names(tmp_path):
    nifti(tmp_path / "annex" / "x.nii.gz")
    nifti(tmp_path / "elsewhere" / "T2.nii.gz")
    (tmp_path / "r" / "anna").mkdir(parents=True)
    (tmp_path / "r" / "anna" / "T1.nii.gz").symlink_to(tmp_path / "annex" / "x.nii.gz")
    (tmp_path / "r" / "anna" / "FLAIR.nii.gz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "r" / "anna" / "loop").symlink_to(tmp_path / "r")
    (tmp_path / "r" / "bert").symlink_to(tmp_path / "elsewhere")
    manifest = scan(tmp_path / "r")
    write_manifest(tmp_path / "m.json", manifest)
    anna, bert = read_manifest(tmp_path / "m.json").studies
    assert anna.scans == {"T1": Scan(str(tmp_path / "r" / "anna" / "T1.nii.gz"))}
    assert bert.scans == {"T2": Scan(str(tmp_path / "r" / "bert" / "T2.nii.gz"))}
    reasons = {entry.series: entry.reason for entry in manifest.left_out}
    assert "link to nothing" in reasons["anna/FLAIR.nii.gz"]
    assert "met already" in reasons["anna/loop"]


def test_a_folder_that_may_not_be_entered_ends_no_scan(tmp_path, monkeypatch):
    for name in ("anna", "bert"):
        nifti(tmp_path / "r" / name / "T1.nii.gz")
    entered = os.scandir

    def scandir(folder):
        if Path(folder).name == "bert":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return entered(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    manifest = scan(tmp_path / "r")
    assert [study.key for study in manifest.studies] == ["sub-anna"]
    assert [(entry.series, entry.reason) for entry in manifest.left_out] == [
        ("bert", "a folder that may not be entered")
    ]


def test_every_other_file_is_left_out_with_what_it_is(make_series, tmp_path):
    folder = make_series("r/anna")
    for name in ("a.mnc", "b.zip", "d.xyz", "e.json", "f.json", ".hidden"):
        (folder / name).write_text("x")
    (folder / "last.dcm").write_bytes(b"")
    manifest = scan(tmp_path / "r")
    reasons = {entry.series: entry.reason for entry in manifest.left_out}
    assert "convert it" in reasons["anna/a.mnc"]
    assert "zip archive that is damaged" in reasons["anna/b.zip"]
    assert ".xyz" in reasons["anna/d.xyz"]
    assert "table" in reasons["*.json (2)"]
    assert reasons["anna/.hidden"] == "hidden"
    assert reasons["anna/last.dcm"] == "is empty"
    (study,) = manifest.studies
    assert "slices may be missing (last.dcm: is empty)" in study.decisions[0].reason


def test_of_several_pet_volumes_that_in_suv_is_taken(tmp_path):
    for name in ("CT", "PET", "SUV"):
        nifti(tmp_path / "r" / "anna" / f"{name}.nii.gz")
    (study,) = scan(tmp_path / "r").studies
    assert study.scans["PET"].path.endswith("SUV.nii.gz")


@pytest.mark.parametrize(
    ("names", "sessions"),
    [
        (("study1_FLAIR", "study1_T1W", "study2_FLAIR", "study2_T1W"), {"1": 2, "2": 2}),
        (("visit01/FLAIR", "visit02/FLAIR", "visit02/T1"), {"1": 1, "2": 2}),
        (("baseline_T1", "follow-up_T1"), {"baseline": 1, "followup": 1}),
        (("tp1/T1", "tp2/T1", "tp3/FLAIR"), {"1": 1, "2": 1, "3": 1}),
        (("study1_FLAIR", "study1_T1W"), {None: 2}),  # one visit alone is no session
        (("FLAIR_time_of_day", "T1_3_study"), {None: 2}),
    ],
)
def test_visits_of_one_patient_are_never_one_study(tmp_path, names, sessions):
    """Two visits' scans lie in one folder: each visit is a study, and no study mixes them."""
    for name in names:
        path = tmp_path / "patient01" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(np.ones((4, 5, 6), np.float32), np.eye(4)), path)
    found = scan(tmp_path).studies
    assert {study.session: len(study.scans) for study in found} == sessions
    assert {study.subject for study in found} == {"patient01"}


def test_real_visits_are_told_apart(data):
    studies = [s for s in scan(data / "ms_longitudinal").studies if s.subject == "patient01"]
    for study in studies:
        assert all(f"study{study.session}_" in one.path for one in study.scans.values())
    assert [study.session for study in studies] == ["1", "2"]


@pytest.mark.parametrize(
    ("first", "second", "changes", "subjects"),
    [
        ("CT", "PET", {}, ["ward"]),  # folders of series, of one study
        ("CT", "PET", {"StudyInstanceUID": "1.2.9.9"}, ["ward"]),
        ("anna_CT", "anna_PET", {"StudyInstanceUID": "1.2.9.9"}, ["anna"]),
        ("anna", "bert", {"StudyInstanceUID": "1.2.9.9"}, ["anna", "bert"]),
        ("001", "002", {"StudyInstanceUID": "1.2.9.9"}, ["001", "002"]),
        ("anna", "bert", {"StudyInstanceUID": ""}, ["anna", "bert"]),
        ("CT", "PET", {"PatientSex": "F"}, ["CT", "PET"]),  # the headers contradict
    ],
)
@pytest.mark.parametrize("identifier", ["ANON", "0000", "7G-1199"])
def test_folders_decide_whose_complementary_scans_are(
    make_series, tmp_path, first, second, changes, subjects, identifier
):
    one = {"StudyInstanceUID": "1.2.8.8", "PatientSex": "M", "PatientID": identifier}
    if not changes.get("StudyInstanceUID", "x"):
        one["StudyInstanceUID"] = ""
    make_series(f"ward/{first}", **one)
    make_series(f"ward/{second}", **{**one, **changes}, modality="PT", CorrectedImage=["ATTN"])
    manifest = scan(tmp_path / "ward")
    assert [study.subject for study in manifest.studies] == subjects
    said = manifest.doubts
    assert len(said) == (identifier == "7G-1199" and subjects[0] in ("anna", "001") and len(subjects) == 2)
    assert identifier not in "".join(said)


def test_brats_names_and_a_mask_of_a_real_tumour(data):
    (study,) = scan(data / "glioma_mri_native" / "preproc_bet").studies
    assert sorted(study.scans) == ["FLAIR", "T1", "T1c", "T2"]
    assert study.label.mask.endswith("seg_model_fusion_mav.nii.gz")
    assert study.label.drawn_on == "T1c"


def test_the_unit_of_pet_volumes_is_kept_for_all_that_read_them(data, tmp_path):
    folder = data / "sarcoma_ct_mr_pet" / "nifti"
    (first, *_) = scan(folder, pet_units="SUV").studies
    assert first.scans["PET"].given == {"Units": "SUV"}
    assert read_image(first.scans["PET"].source, "PET", first.scans["PET"].given).meta["doubts"] == []
    (first, *_) = scan(folder).studies
    assert "taken as SUV" in read_image(first.scans["PET"].source, "PET").meta["doubts"][0]


@pytest.mark.parametrize(
    "files", ["{m}/{p}.nii.gz", "{m}/{p}/image.nii.gz", "{p}/{m}/image.nii.gz", "{p}/MR/ax_{m}/{p}.nii.gz"]
)
def test_a_folder_tells_what_the_name_of_its_only_volume_does_not(tmp_path, files):
    for who in ("anna", "bob"):
        for name in ("T1", "FLAIR"):
            nifti(tmp_path / files.format(p=who, m=name))
    found = scan(tmp_path)
    kinds = ["FLAIR", "T1"]
    assert [(study.key, list(study.scans)) for study in found.studies] == [("sub-anna", kinds), ("sub-bob", kinds)]
    assert "that of its folder does" in found.studies[0].decisions[0].reason


def test_a_folder_tells_nothing_of_several_volumes_nor_against_their_own_names(tmp_path):
    for name in ("T1/FLAIR", "PD/1", "T2/1", "T2/2", "T1/localizer/1", "T1/masks/FLAIR"):
        nifti(tmp_path / "anna" / f"{name}.nii.gz")
    (study,) = scan(tmp_path).studies
    reasons = {decision.series: decision.reason for decision in study.decisions}
    assert list(study.scans) == ["FLAIR"]
    assert study.label.mask.endswith("masks/FLAIR.nii.gz")
    assert "one of 2 volumes in a folder called after a modality" in reasons["anna/T2/1.nii.gz"]
    assert reasons["anna/PD/1.nii.gz"] == "its name tells no modality"
    assert reasons["anna/T1/localizer/1.nii.gz"] == "its name tells no modality"


def test_dicom_files_that_end_like_half_of_a_volume_are_read(make_series, tmp_path):
    folder = make_series("ward/anna/CT")
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(".img"))
    (folder / "T1.hdr").write_bytes(b"half")
    found = scan(tmp_path / "ward")
    assert [(study.key, list(study.scans)) for study in found.studies] == [("sub-anna", ["CT"])]
    assert [entry.reason for entry in found.left_out] == ["half of a volume whose .img is not beside it"]


def test_a_name_that_is_no_utf8_is_said(tmp_path):
    nifti(tmp_path / "anna" / "T1.nii.gz")
    try:
        (tmp_path / os.fsdecode(b"M\xfcller")).mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    found = scan(tmp_path)
    assert [study.key for study in found.studies] == ["sub-anna"]
    assert [(entry.series, entry.reason[:37]) for entry in found.left_out] == [
        ("M\N{REPLACEMENT CHARACTER}ller", "a name that is not written in UTF-8, ")
    ]


def test_folders_that_may_be_points_in_time_are_said(tmp_path):
    for name in ("T1/scan", "T2/scan"):
        nifti(tmp_path / "anna" / f"{name}.nii.gz")
    assert scan(tmp_path).doubts == [
        "sub-anna has T1 and T2 by the names of folders alone. If those are two visits, call them ses-1, ses-2."
    ]
    nifti(tmp_path / "anna" / "FLAIR.nii.gz")
    assert scan(tmp_path).doubts == []


def test_folders_called_alike_are_said(tmp_path):
    nifti(tmp_path / "01" / "T1.nii.gz")
    nifti(tmp_path / "sub-01" / "T2.nii.gz")
    found = scan(tmp_path)
    assert [sorted(study.scans) for study in found.studies] == [["T1", "T2"]]
    assert found.doubts == ["sub-01 is put together from 01 and sub-01. If those are two patients, rename one of them."]


def test_one_slice_is_no_volume(tmp_path):
    nifti(tmp_path / "anna" / "T1.nii.gz")
    write_nifti(tmp_path / "anna" / "T2.nii.gz", MetaTensor(torch.zeros(1, 6, 6, 1), affine=torch.eye(4)))
    (study,) = scan(tmp_path).studies
    assert list(study.scans) == ["T1"]
    assert study.decisions[1].reason == "its name says so; one slice is no volume"


def test_series_that_are_deflated_are_found(make_series, tmp_path):
    folder = make_series("ward/anna/CT")
    for file in folder.iterdir():
        ds = pydicom.dcmread(file)
        ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        pydicom.dcmwrite(file, ds)
    (study,) = scan(tmp_path / "ward").studies
    assert read_image(study.scans["CT"].source, "CT").shape == (1, 7, 6, 5)


def test_of_frames_that_are_series_of_their_own_the_last_is_taken(make_series, tmp_path):
    for name, time in (("a", "100000"), ("b", "101000"), ("c", "100500.5")):
        pet = {"modality": "PT", "CorrectedImage": ["ATTN"], "SeriesTime": "100000", "AcquisitionTime": time}
        make_series(f"ward/anna/{name}", SeriesDate="20200101", **pet)
    (study,) = scan(tmp_path / "ward").studies
    assert study.scans["PET"].path.endswith("b")


def test_manifest_round_trip_keeps_everything(tmp_path):
    nifti(tmp_path / "r" / "sub-1" / "sub-1_T2w.nii.gz")
    manifest = scan(tmp_path / "r")
    for place in ("a.json", "deep/er/b.json"):
        write_manifest(tmp_path / place, manifest)
        assert read_manifest(tmp_path / place).studies == manifest.studies
    assert '"scans": "../../r"' in (tmp_path / "deep/er/b.json").read_text()
