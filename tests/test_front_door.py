"""The names of ``polyscan`` itself: what a script or a notebook begins with."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

import polyscan
from polyscan.phantom import make_cohort
from polyscan.study import Scan


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    folder = tmp_path_factory.mktemp("front") / "ward"
    make_cohort(folder, subjects=2, seed=7, missing=0, modalities=("T1", "T1c", "FLAIR"), jobs=1)
    return folder


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, polyscan\n"
        "heavy = {'torch', 'monai', 'numpy', 'itk', 'SimpleITK', 'pydicom', 'nibabel'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_name_is_there():
    for name in polyscan.__all__:
        assert getattr(polyscan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'read_everything'"):
        _ = polyscan.read_everything  # type: ignore[attr-defined]


def test_a_study_is_read_as_it_lies_in_its_files(ward):
    assert [study.key for study in polyscan.find_studies(ward)] == ["sub-001", "sub-002"]
    scans = polyscan.read_study(ward / "sub-001")
    assert set(scans) == {"T1", "T1c", "FLAIR"}
    for image in scans.values():
        assert image.shape[0] == 1
        assert image.dtype == torch.float32
        assert image.affine.shape == (4, 4)
    again = polyscan.read_study(polyscan.find_studies(ward)[0])
    assert {name: torch.equal(image, scans[name]) for name, image in again.items()} == dict.fromkeys(scans, True)
    with pytest.raises(polyscan.PolyscanError, match="holds 2 studies"):
        polyscan.read_study(ward)


def test_a_scan_that_cannot_be_read_stops_no_other(ward, tmp_path):
    folder = tmp_path / "sub-9" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-9_T1w.nii.gz").write_bytes(b"no image")
    (folder / "sub-9_FLAIR.nii.gz").write_bytes(next((ward / "sub-001" / "anat").glob("*FLAIR.nii.gz")).read_bytes())
    scans = polyscan.read_study(tmp_path / "sub-9")
    assert set(scans) == {"FLAIR"}
    assert any("sub-9_T1w.nii.gz cannot be read" in sentence for sentence in scans.left_out)


def test_studies_that_were_found_are_prepared(ward, tmp_path):
    (study,) = polyscan.find_studies(ward / "sub-001")
    study.scans = {"T1c": study.scans["T1c"]}
    prepared = polyscan.prepare(study, tmp_path / "prepared", jobs=1)
    assert [(each.key, set(each.scans)) for each in prepared.testing] == [(study.key, {"T1c"})]
    assert polyscan.read_manifest(tmp_path / "prepared" / "manifest.json").testing == prepared.testing
    assert set(polyscan.read_study(prepared.testing[0])) == {"T1c"}


def test_what_has_no_place_in_the_patient_is_not_registered():
    with pytest.raises(polyscan.PolyscanError, match="ndarray tells no affine; give tensors as of"):
        polyscan.register_rigid(np.zeros((1, 8, 8, 8)), np.zeros((1, 8, 8, 8)))


def test_a_bundle_by_its_name_predicts_a_study(ward, tmp_path):
    bundle = polyscan.load_bundle("brain_mri_tumour_segmentation", contributions=True)
    assert bundle.modalities == ["T1", "T1c", "T2", "FLAIR"]
    found = bundle.predict(polyscan.find_studies(ward)[0], absent="T1")
    assert set(found.present) == {"T1c", "FLAIR"}
    assert found.mask is not None
    native = polyscan.read_study(ward / "sub-001")[found.reference]
    assert found.mask.shape == native.shape
    np.testing.assert_allclose(found.mask.affine, native.affine, atol=1e-4)
    assert set(np.unique(found.mask)) <= {0, 1, 2, 4}
    assert found.confidence.keys() == found.contributions.keys() == {r for r, ml in found.volumes_ml.items() if ml > 0}
    for drove in found.contributions.values():
        assert set(drove) == {"T1c", "FLAIR"}
        assert sum(drove.values()) == pytest.approx(1, abs=1e-3)
    assert "contributions" in repr(found)
    assert found.cautions == []
    prepared = polyscan.prepare(polyscan.find_studies(ward)[0], tmp_path / "p", protocol=bundle.protocol, jobs=1)
    assert torch.equal(bundle.predict(prepared.testing[0], absent="T1").mask, found.mask)
    scans = polyscan.read_study(ward / "sub-001")
    assert torch.equal(bundle.predict(scans, absent="T1").mask, found.mask)
    with pytest.raises(polyscan.PolyscanError, match=r"T1 is a Tensor of shape \(40, 40, 40\); give a MetaTensor"):
        bundle.predict({"T1": torch.zeros(40, 40, 40)})
    with pytest.raises(
        polyscan.PolyscanError, match="A MetaTensor is no study; give one, its folder, or its scans in a"
    ):
        bundle.predict(scans["T1"])
    with pytest.raises(polyscan.PolyscanError, match=r"holds 2 studies \(sub-001, sub-002\); name the folder of one"):
        bundle.predict(ward)
    with pytest.raises(polyscan.PolyscanError, match="Modality CT cannot be left out: this bundle reads T1, T1c"):
        bundle.predict(ward / "sub-001", absent=["CT", "T1"])


def test_a_pet_in_memory_is_in_suv():
    pet = torch.rand(1, 24, 24, 24)
    pet[0, 10:14, 10:14, 10:14] = 12
    found = polyscan.load_bundle("sarcoma_ct_mr_pet_segmentation").predict({"PET": MetaTensor(pet, torch.eye(4) * 4)})
    assert found.present == ["PET"]
    assert not found.problems
    assert found.mask.shape == pet.shape


def test_a_prediction_is_shown_without_its_voxels():
    mask = MetaTensor(torch.zeros(1, 40, 40, 40))
    shown = repr(polyscan.Prediction(["T1"], mask, reference="T1"))
    assert shown == "Prediction(present=['T1'], mask=<1 x 40 x 40 x 40>, reference=T1)"
    assert repr(polyscan.Prediction(["T1"])) == "Prediction(present=['T1'])"


def test_a_bundle_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(polyscan.PolyscanError, match=r"kidney is no bundle: .* petct_staging"):
        polyscan.load_bundle("kidney")
    with pytest.raises(polyscan.PolyscanError, match="is no bundle"):
        polyscan.load_bundle(tmp_path)


def test_a_bundle_answers_from_tables_alone_whichever_are_there(tmp_path):
    (tmp_path / "m.json").write_text('{"IDH1_mut": 1, "TP53_mut": 1}')
    clinical = {"age": 43, "sex": "F", "histology": "AASTR"}
    study = polyscan.Study("P1", clinical=clinical, scans={"mutations": Scan(str(tmp_path / "m.json"))})
    bundle = polyscan.load_bundle("glioma_survival")
    found = bundle.predict(study)
    answer = found.answers["survival"]
    assert set(answer.contributions) == set(found.present) == {"clinical", "mutations"}
    assert sum(answer.contributions.values()) == pytest.approx(answer.risk, abs=1e-3)
    assert list(answer.survival) == ["12", "24", "36", "60"]
    alone = bundle.predict(study, absent="clinical")
    assert alone.present == ["mutations"]
    assert alone.answers["survival"].risk != answer.risk
    study.clinical["age"] = 80
    assert bundle.predict(study).answers["survival"].survival["36"][0] < answer.survival["36"][0]
    assert bundle.predict(study, absent="clinical").answers == alone.answers
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: bundle.predict(study, absent="clinical").answers, range(8)))
    assert together == [alone.answers] * 8
