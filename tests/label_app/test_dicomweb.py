"""Studies of a real DICOMweb server, Orthanc, answered for by a real MONAI Label server."""

from __future__ import annotations

import json
import urllib.request

import nibabel
import numpy as np
import pydicom
import pytest
from served import ORTHANC, SERVER, orthanc, serve

from polyscan.phantom import make_cohort

BRAIN = "brain_mri_tumour_segmentation"

pytestmark = [
    pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env"),
    pytest.mark.skipif(
        ORTHANC is None, reason="Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)"
    ),
]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """An Orthanc that holds two made heads: its DICOMweb address and their folder."""
    folder = tmp_path_factory.mktemp("orthanc")
    make_cohort(folder / "heads", subjects=2, seed=5, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    with orthanc(sorted((folder / "heads").rglob("*.dcm")), folder) as url:
        yield f"{url}/dicom-web", folder / "heads"


@pytest.fixture(scope="module")
def client(web, tmp_path_factory):
    with serve(web[0], tmp_path_factory.mktemp("server")) as found:
        yield found


def test_studies_are_listed_by_their_uid_and_fetched_once_asked_for(client, web, tmp_path):
    header = pydicom.dcmread(next((web[1] / "sub-002" / "FLAIR").iterdir()), stop_before_pixels=True)
    objects = client.json("GET", "/datastore/?output=all")["objects"]
    assert header.StudyInstanceUID in objects
    assert len(objects) == 2
    for image in (header.StudyInstanceUID, header.SeriesInstanceUID):  # OHIF names a series
        facts = client.json("POST", f"/infer/{BRAIN}?image={image}&output=json", fields={"params": "{}"})
        assert facts["modalities"] == ["T1c", "FLAIR"]
        assert facts["millilitres"]["oedema"] > 1
    cached = list(client.log.parent.glob(".cache/polyscan/*/*"))
    assert [path.name for path in cached if not path.name.startswith(".")] == [header.StudyInstanceUID]
    status, mask = client.ask(
        "POST", f"/infer/{BRAIN}?image={header.StudyInstanceUID}&output=image", fields={"params": "{}"}
    )
    assert status == 200
    (tmp_path / "mask.nii.gz").write_bytes(mask)
    slices = len(list((web[1] / "sub-002" / "T1c").iterdir()))
    assert slices in nibabel.load(tmp_path / "mask.nii.gz").shape


def test_series_are_answered_on_their_own_grid_and_labels_stored_back(client, web, tmp_path):
    """OHIF's calls: a mask on each series of one study, then a corrected label, kept here and stored there as SEG."""
    asked = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    for name in ("T1c", "FLAIR"):
        files = sorted((web[1] / "sub-001" / name).iterdir())
        header = pydicom.dcmread(files[0], stop_before_pixels=True)
        where = f"/infer/{BRAIN}?image={header.SeriesInstanceUID}"
        status, answer = client.ask("POST", f"{where}&output=image", fields={"params": json.dumps(asked)})
        assert status == 200, answer
        voxels = answer.split(b"\n\n", 1)[1]
        assert len(voxels) == header.Columns * header.Rows * len(files)
    assert set(voxels) <= {0, 1, 2, 3}
    status, answer = client.ask("POST", f"{where}&output=dicom_seg", fields={"params": "{}"})
    assert status == 200, answer
    (tmp_path / "seg.dcm").write_bytes(answer)
    segmentation = pydicom.dcmread(tmp_path / "seg.dcm")
    assert segmentation.StudyInstanceUID == header.StudyInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    (tmp_path / "label.bin").write_bytes(voxels)
    names = [{"name": n, "idx": i} for n, i in (("necrotic core", 1), ("oedema", 2), ("enhancing tumour", 3))]
    saved = client.json(
        "PUT",
        f"/datastore/label?image={header.SeriesInstanceUID}",
        fields={"params": json.dumps({"label_info": names})},
        file=("label", tmp_path / "label.bin"),
    )
    assert saved["label"] == header.StudyInstanceUID
    stored = urllib.request.urlopen(f"{web[0]}/studies/{header.StudyInstanceUID}/series?Modality=SEG")
    assert len(json.loads(stored.read())) == 1
    for uid in (header.SeriesInstanceUID, header.StudyInstanceUID):
        status, mask = client.ask("GET", f"/datastore/label?label={uid}&tag=final")
        assert status == 200, mask
    (tmp_path / "mask.nii.gz").write_bytes(mask)
    kept = np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj)
    np.testing.assert_array_equal(kept.ravel(order="F"), np.frombuffer(voxels, np.uint8))
    sample = client.json("POST", "/activelearning/random", body={})
    assert sample["StudyInstanceUID"] == sample["id"]
    assert sample["Modality"] == "MR"
    assert sample["SeriesInstanceUID"]
    assert "PatientID" in sample


def test_ohif_is_told_of_the_patient_that_it_asks_for_alone(client, web):
    header = pydicom.dcmread(next((web[1] / "sub-002" / "FLAIR").iterdir()), stop_before_pixels=True)
    for query in (f"StudyInstanceUID={header.StudyInstanceUID}&limit=101", f"00100020={header.PatientID}"):
        studies = client.json("GET", f"/proxy/dicom/qido/studies?{query}")
        assert [study["0020000D"]["Value"] for study in studies] == [[header.StudyInstanceUID]]
    assert len(client.json("GET", "/proxy/dicom/qido/studies")) == 2


def test_a_study_that_the_server_does_not_have_gets_a_sentence(client):
    status, answer = client.ask("POST", f"/infer/{BRAIN}?image=1.2.3&output=json", fields={"params": "{}"})
    assert status == 404
    assert "There is no study '1.2.3'" in json.loads(answer)["detail"]
