"""A cohort is the same for a seed, its truth is exact, and its files are what they say."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.read import read_image
from polyscan.phantom import make_cohort
from polyscan.phantom.subject import MODALITIES, make_subject


def digest(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.fixture(scope="module")
def nifti(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nifti") / "c"
    make_cohort(folder, subjects=2, seed=5, missing=0, jobs=1)
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dicom") / "c"
    make_cohort(folder, subjects=1, seed=5, missing=0, format="dicom", jobs=1)
    return folder


def test_same_seed_same_bytes_in_any_number_of_processes(nifti, tmp_path):
    make_cohort(tmp_path / "again", subjects=2, seed=5, missing=0, jobs=2)
    assert digest(tmp_path / "again") == digest(nifti)


def test_fewer_modalities_leave_the_others_as_they_are(nifti, tmp_path):
    make_cohort(tmp_path / "few", subjects=1, seed=5, missing=0, modalities=("T1c", "PET"), jobs=1)
    few, all_of_them = digest(tmp_path / "few"), digest(nifti)
    scans = [name for name in few if name.startswith("sub-")]
    assert scans
    assert all(few[name] == all_of_them[name] for name in scans)


def test_another_seed_is_another_head(nifti, tmp_path):
    make_cohort(tmp_path / "other", subjects=1, seed=6, missing=0, modalities=("T1",), jobs=1)
    a, b = (nibabel.load(f / "sub-001/anat/sub-001_T1w.nii.gz").get_fdata() for f in (nifti, tmp_path / "other"))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.95


def test_ct_and_pet_are_in_their_units(nifti):
    ct = read_image(str(nifti / "sub-001/ct/sub-001_ct.nii.gz"), "CT").numpy()
    assert np.percentile(ct, 5) == pytest.approx(-1000, abs=15)
    assert np.percentile(ct, 99) > 500
    brain = nibabel.load(nifti / "derivatives/truth/sub-001/sub-001_space-T1c_desc-brain_mask.nii.gz").get_fdata() > 0
    middle = ct[0][tuple(np.argwhere(brain).mean(0).astype(int))]
    assert -20 < middle < 80
    pet = read_image(str(nifti / "sub-001/pet/sub-001_pet.nii.gz"), "PET")
    raw = nibabel.load(nifti / "sub-001/pet/sub-001_pet.nii.gz").get_fdata()
    sidecar = json.loads((nifti / "sub-001/pet/sub-001_pet.json").read_text())
    decayed = sidecar["InjectedRadioactivity"] * 1e6 * 0.5 ** (-sidecar["InjectionStart"] / 6586.2)
    np.testing.assert_allclose(pet[0].numpy(), raw * sidecar["BodyWeight"] * 1000 / decayed, rtol=1e-5)
    assert 4 < float(np.percentile(pet, 99.5)) < 10


def test_truth_transform_joins_the_same_point_of_the_head(nifti):
    subject = make_subject(1, 5)
    for moving in MODALITIES[2:]:
        file = nifti / f"derivatives/truth/sub-001/sub-001_from-{moving}_to-T1c_mode-image_xfm.tfm"
        transform, flip = sitk.ReadTransform(str(file)), np.diag([-1, -1, 1, 1])
        point = np.array([21.0, -33.0, 14.0])
        moved = transform.TransformPoint(point.tolist())
        a, b = (subject.lying[m] @ flip @ [*p, 1] for m, p in (("T1c", point), (moving, moved)))
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_label_lies_where_flair_is_bright(nifti):
    """Whole tumour and FLAIR agree once the true transform is applied."""
    truth = nifti / "derivatives/truth/sub-001"
    label = sitk.ReadImage(str(truth / "sub-001_space-T1c_dseg.nii.gz"))
    flair = sitk.ReadImage(str(nifti / "sub-001/anat/sub-001_FLAIR.nii.gz"), sitk.sitkFloat32)
    moved = sitk.Resample(flair, label, sitk.ReadTransform(str(truth / "sub-001_from-FLAIR_to-T1c_mode-image_xfm.tfm")))
    brain = sitk.GetArrayFromImage(sitk.ReadImage(str(truth / "sub-001_space-T1c_desc-brain_mask.nii.gz"))) > 0
    inside, values = sitk.GetArrayFromImage(label) == 2, sitk.GetArrayFromImage(moved)
    assert values[inside].mean() > 1.2 * values[brain & ~(sitk.GetArrayFromImage(label) > 0)].mean()


def test_labels_are_nested(nifti):
    for subject in ("sub-001", "sub-002"):
        folder = nifti / "derivatives/truth" / subject
        label = nibabel.load(folder / f"{subject}_space-T1c_dseg.nii.gz").get_fdata()
        enhances = json.loads((folder / f"{subject}_truth.json").read_text())["enhances"]
        assert set(np.unique(label)) == ({0, 1, 2, 4} if enhances else {0, 1, 2})


def test_missing_scans_never_all_and_never_in_testing(tmp_path):
    make_cohort(tmp_path / "c", subjects=10, seed=1, missing=0.8, modalities=("T1", "T2"))
    manifest = scan(tmp_path / "c")
    sizes = [len(study.scans) for study in manifest.training + manifest.validation]
    assert len(sizes) == 8
    assert min(sizes) == 1
    assert all(len(study.scans) == 2 for study in manifest.testing)
    assert all(set(study.clinical) == {"age", "sex", "biomarker"} for study in manifest.studies)


def test_dicom_holds_the_same_scans(nifti, dicom):
    (study,) = scan(dicom).studies
    assert sorted(study.scans) == sorted(MODALITIES)
    assert study.aligned == []
    for name, file in (("T1", "anat/sub-001_T1w"), ("T2", "anat/sub-001_T2w"), ("CT", "ct/sub-001_ct")):
        image = nibabel.Nifti1Image(
            (read := read_image(study.scans[name].source, name))[0].numpy(), np.asarray(read.affine)
        )
        a = nibabel.as_closest_canonical(image)
        b = nibabel.as_closest_canonical(nibabel.load(nifti / "sub-001" / f"{file}.nii.gz"))
        np.testing.assert_allclose(a.affine, b.affine, atol=1e-4)
        np.testing.assert_allclose(a.get_fdata(), b.get_fdata(), atol=1.01)
    pet, own = (
        read_image(study.scans["PET"].source, "PET"),
        read_image(str(nifti / "sub-001/pet/sub-001_pet.nii.gz"), "PET"),
    )
    assert float(np.abs(pet.numpy().max() / own.numpy().max() - 1)) < 1e-3
    slopes = {float(pydicom.dcmread(f).RescaleSlope) for f in (dicom / "sub-001/PET").iterdir()}
    assert len(slopes) > 10


def test_gdcm_reads_the_same_geometry(dicom, nifti):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(dicom / "sub-001" / "FLAIR")))
    image = reader.Execute()
    file = sitk.ReadImage(str(nifti / "sub-001/anat/sub-001_FLAIR.nii.gz"))
    assert image.GetSize() == file.GetSize()
    corners = [(0, 0, 0), tuple(n - 1 for n in image.GetSize())]
    for corner in corners:
        expected = file.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(corner), expected, atol=1e-3)


def test_a_validator_finds_no_error(dicom):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    for modality in MODALITIES:
        file = next((dicom / "sub-001" / modality).iterdir())
        said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stdout + said.stderr, said.stderr


def test_each_image_has_what_its_modules_ask_for(dicom, check_modules):
    check_modules([next((dicom / "sub-001" / modality).iterdir()) for modality in MODALITIES])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"subjects": 0}, "1 to 999"), ({"size": "huge"}, "small or full"), ({"modalities": ("MEG",)}, "MEG")],
)
def test_arguments_out_of_range(tmp_path, arguments, words):
    with pytest.raises(PolyscanError, match=words):
        make_cohort(tmp_path / "c", **arguments)


def test_full_folder_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(PolyscanError, match="not empty"):
        make_cohort(tmp_path, subjects=1)
    assert (tmp_path / "mine.txt").read_text() == "keep"
