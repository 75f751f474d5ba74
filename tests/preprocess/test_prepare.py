"""From a manifest to prepared studies: what is exact, what is said, and what fails alone."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.phantom import make_cohort
from polyscan.preprocess.kept import RECORD, kept_study
from polyscan.preprocess.prepare import prepare
from polyscan.preprocess.protocol import load_protocol
from polyscan.study import Label, Preparation, Scan, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "c"
    make_cohort(folder, subjects=2, seed=3, missing=0, modalities=("T1", "T1c"), jobs=1)
    return scan(folder)


@pytest.fixture(scope="module")
def prepared(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared")
    prepare(cohort, out, protocol="brain_mri")
    return read_manifest(out / "manifest.json")


def test_everything_lies_on_the_reference_grid(cohort, prepared):
    for raw, study in zip(cohort.studies, prepared.studies, strict=True):
        native = nibabel.load(raw.scans["T1c"].path)
        for path in [*(one.path for one in study.scans.values()), study.label.mask, study.preparation.foreground]:
            image = nibabel.load(path)
            assert image.shape == native.shape
            np.testing.assert_allclose(image.affine, native.affine, atol=1e-4)
        assert study.preparation.reference == "T1c"
        label, truth = (nibabel.load(s.label.mask).get_fdata() for s in (study, raw))
        np.testing.assert_array_equal(label, truth)


def test_mri_is_a_z_score_inside_the_body(prepared):
    for study in prepared.studies:
        mask = nibabel.load(study.preparation.foreground).get_fdata() > 0
        for path in (one.path for one in study.scans.values()):
            inside = nibabel.load(path).get_fdata()[mask]
            assert np.nanmean(inside) == pytest.approx(0, abs=0.02)
            assert np.nanstd(inside) == pytest.approx(1, abs=0.02)


def test_sidecar_tells_every_step_in_order(prepared):
    study = prepared.studies[0]
    sidecar = json.loads(Path(study.scans["T1"].path.replace(".nii.gz", ".json")).read_text())
    assert [step["name"] for step in sidecar["Steps"]] == ["read", "register", "resample", "z-score"]
    assert all("package" in step for step in sidecar["Steps"])
    assert sidecar["Units"] == "z-score"
    assert sidecar["Sources"] == [f"sources.json#/studies/{study.key}/scans/T1"]
    assert study.preparation.transforms["T1"].endswith("_from-T1_to-T1c_mode-image_xfm.tfm")
    assert study.preparation.registrations["T1"].trusted


def test_what_is_prepared_is_kept_by_a_process_that_imports_nothing_heavy(cohort, prepared, tmp_path):
    write_manifest(tmp_path / "cohort.json", cohort)
    out = Path(prepared.studies[0].scans["T1"].path).parents[1]
    code = (
        "import sys, polyscan\nfound = polyscan.read_manifest(sys.argv[1])\n"
        "again = polyscan.prepare(found, sys.argv[2], protocol='brain_mri')\n"
        "print(len(again.studies), {'torch', 'monai'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code, tmp_path / "cohort.json", out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 set()"
    study = cohort.studies[0]
    assert kept_study(study, out, "brain_mri") == prepared.studies[0]
    assert kept_study(study, out, "brain_mri", registered=True) is None
    (damaged := tmp_path / study.key / RECORD).parent.mkdir()
    damaged.write_text("{")
    assert kept_study(study, tmp_path, "brain_mri") is None


def test_a_prepared_file_that_went_is_made_again(cohort, tmp_path):
    """As scratch folders are swept: a training that asks to prepare again must be able to begin."""
    given = {"protocol": "brain_mri", "registered": True, "jobs": 1}
    first = Manifest(testing=cohort.studies[:1])
    file = Path(prepare(first, tmp_path, **given).studies[0].scans["T1"].path)
    before = file.read_bytes()
    file.unlink()
    prepare(first, tmp_path, **given)
    assert file.read_bytes() == before


def test_one_bad_study_stops_no_other(cohort, tmp_path):
    good, other = cohort.studies
    (tmp_path / "raw").mkdir()
    corrupt = tmp_path / "raw" / "bad_T1w.nii.gz"
    corrupt.write_bytes(b"not an image")
    wrong = tmp_path / "raw" / "wrong_dseg.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 5, 5), np.uint8), np.eye(4)), wrong)
    studies = [
        good,
        replace(good, subject="allbad", scans={"T1": Scan(str(corrupt))}, label=Label()),
        replace(good, subject="halfbad", scans={"T1": Scan(str(corrupt)), "T1c": good.scans["T1c"]}),
        replace(other, subject="badlabel", label=Label(str(wrong), "T1c")),
        Study("nothing", scans={"CT": Scan(str(corrupt))}),
    ]
    result = prepare(Manifest(testing=studies), tmp_path / "out", protocol="brain_mri", jobs=1)
    by_name = {study.subject: study for study in result.studies}
    assert set(by_name) == {good.subject, "halfbad", "badlabel"}
    assert {f.study for f in result.failed} == {"sub-allbad", "sub-nothing"}
    assert all("used: T1 " in f.reason or "it has CT" in f.reason for f in result.failed)
    assert list(by_name["halfbad"].scans) == ["T1c"]
    assert "left out" in by_name["halfbad"].preparation.problems["T1"]
    assert by_name["badlabel"].label.mask is None
    assert "another grid" in by_name["badlabel"].preparation.problems["label"]
    assert not list((tmp_path / "out").glob(".part*"))
    assert not (tmp_path / "out" / "sub-allbad").exists()


def test_a_scan_that_is_a_copy_of_another_is_noted(cohort, tmp_path):
    """As data sets fill in for a contrast that was not acquired: a network would take it for that contrast."""
    study = cohort.studies[0]
    filled = replace(study, scans={**study.scans, "FLAIR": Scan(study.scans["T1c"].source)})
    (found,) = prepare(Manifest(testing=[filled]), tmp_path, protocol="brain_mri", jobs=1, registered=True).studies
    said = {name: problem for name, problem in found.problems.items() if "same voxels" in problem}
    assert list(said) == ["FLAIR"]
    assert said["FLAIR"].startswith("it has the same voxels as T1c: leave it out where it is a copy")


def test_one_contrast_alone_is_prepared(cohort, tmp_path):
    alone = replace(cohort.studies[0], scans={"T1c": cohort.studies[0].scans["T1c"]})
    (study,) = prepare(Manifest(testing=[alone]), tmp_path, protocol="brain_mri", jobs=1).studies
    assert list(study.scans) == ["T1c"]
    assert study.preparation.transforms == {}


def test_nothing_prepared_is_an_error(tmp_path):
    with pytest.raises(PolyscanError, match="None of the 1 studies could be prepared"):
        prepare(Manifest(testing=[Study("a", scans={"T1": Scan(str(tmp_path / "no.nii.gz"))})]), tmp_path / "o", jobs=1)
    assert not (tmp_path / "o").exists()
    twice = Study("a", scans={"T1": Scan("/x")}, preparation=Preparation("brain_mri", "T1"))
    with pytest.raises(PolyscanError, match="prepared already, by brain_mri; give what polyscan scan found"):
        prepare(Manifest(testing=[twice]), tmp_path / "o", jobs=1)


def test_protocols_that_cannot_be_used(tmp_path):
    with pytest.raises(PolyscanError, match="kidney is no file and no protocol that comes with polyscan: brain_mri"):
        load_protocol("kidney")


READ = "steps:\n  - {_target_: polyscan.preprocess.LoadScansd, modalities: [T1, CT], reference: [CT]}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("other: 1\n", "no list of 'steps'"),
        ("steps: []\n", r"first step of .*a\.yaml reads no scans; begin with polyscan\.preprocess\.LoadScansd"),
        ("steps:\n  - _target_: polyscan.preprocess.Resampled\n", "first step of .* reads no scans"),
        (READ.replace("T1", "T4"), "LoadScansd of .* cannot be made: Modality 'T4' is not known"),
        (READ.replace("[CT]", "[CT, PET]"), "reference names PET, which is not among the modalities that are read"),
        (
            READ + "  - _target_: polyscan.preprocess.Polish\n",
            "Step polyscan.preprocess.Polish of .* cannot be made",
        ),
        (READ + "  - {_target_: polyscan.preprocess.Resampled, grids: 1}\n", "unexpected keyword argument 'grids'"),
        (READ + "  - target: polyscan.preprocess.Resampled\n", "is no transform; write its class under _target_"),
    ],
)
def test_what_a_protocol_cannot_say(text, sentence, tmp_path):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(PolyscanError, match=sentence):
        load_protocol(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text(READ)
    assert len(load_protocol(tmp_path / "a.yaml").steps.transforms) == 1


def test_real_sarcoma_from_dicom(data, tmp_path):
    prepare(scan(data / "sarcoma_ct_mr_pet" / "dicom"), tmp_path, jobs=1)
    studies = read_manifest(tmp_path / "manifest.json").studies
    assert len(studies) == len(list((data / "sarcoma_ct_mr_pet" / "dicom").glob("STS_*")))
    for study in studies:
        (folder,) = (
            f for f in (data / "sarcoma_ct_mr_pet" / "nifti").iterdir() if f.name.replace("_", "") == study.subject
        )
        ct, reference = (
            nibabel.as_closest_canonical(nibabel.load(p)) for p in (study.scans["CT"].path, folder / "CT_image.nii.gz")
        )
        np.testing.assert_array_equal(ct.get_fdata(), reference.get_fdata())
        np.testing.assert_allclose(ct.affine, reference.affine, atol=3e-5)
        pet, own = nibabel.load(study.scans["PET"].path), nibabel.load(folder / "PET_image.nii.gz")
        # SUV is not scaled twice, nor by one slope for all slices: each voxel of the PET itself is found again.
        index = np.argwhere(own.get_fdata() > 1.5)
        place = nibabel.affines.apply_affine(np.linalg.inv(pet.affine) @ own.affine, index)
        inside = (np.rint(place) >= 2).all(1) & (np.rint(place) < np.array(pet.shape) - 2).all(1)
        found = pet.get_fdata()[tuple(np.rint(place[inside]).astype(int).T)]
        expected = own.get_fdata()[tuple(index[inside].T)]
        assert np.nanmedian(np.abs(found / expected - 1)) < 0.05
        assert study.preparation.registrations == {}
