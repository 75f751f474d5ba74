"""Bundles on real scans: from DICOM and NIfTI to an answer, whatever modalities there are."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from prepared import BUNDLES

from polyscan.bundle.run import infer
from polyscan.discovery.scan import scan
from polyscan.preprocess.prepare import prepare
from polyscan.study.manifest import write_manifest


@pytest.mark.parametrize("name", ["sarcoma_ct_mr_pet_segmentation", "petct_staging"])
def test_pet_ct_of_a_sarcoma_from_dicom(data, tmp_path, name):
    manifest = scan(data / "sarcoma_ct_mr_pet" / "dicom" / "STS_002")
    protocol = "petct" if name == "petct_staging" else "default"
    (prepared,) = prepare(manifest, tmp_path / "p", protocol=protocol, jobs=1).studies
    shapes = {m: nibabel.load(one.path).shape for m, one in prepared.scans.items()}
    assert (shapes["CT"] == shapes["PET"]) == (protocol == "default")
    (study,) = infer(BUNDLES / name, tmp_path / "p" / "manifest.json", tmp_path / "out").studies
    mask = nibabel.load(study.prediction.path)
    assert mask.shape == shapes["CT"]
    np.testing.assert_allclose(mask.affine, nibabel.load(prepared.scans["CT"].path).affine, atol=1e-3)
    (score,) = study.prediction.scores.values()
    assert score.dice > 0.3
    if name == "petct_staging":
        stage = study.prediction.answers["stage"]
        assert stage.measures["suv_max"] == pytest.approx(stage.true_measures["suv_max"], rel=0.3)
        assert stage.true_measures["metabolic_tumour_volume_ml"] == pytest.approx(score.true_ml, rel=0.05)


def test_a_patient_with_glioma_is_graded(data, tmp_path):
    """The shipped weights have seen made heads only: that there is an answer is all that is asked."""
    manifest = scan(data / "glioma_mri_native")
    for study in manifest.studies:
        study.clinical = {"age": 41}
    write_manifest(tmp_path / "m.json", manifest)
    prepare(manifest, tmp_path / "p", protocol="glioma_mri", jobs=1)
    found = infer(BUNDLES / "glioma_grading_classification", tmp_path / "p" / "manifest.json", tmp_path / "out")
    assert found.studies
    assert not found.failed
    for study in found.studies:
        assert study.prediction.answers
        for answer in study.prediction.answers.values():
            assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
            assert set(answer.contributions) == set(study.prediction.present)
