"""Studies of a real DICOMweb server, Orthanc, answered for by a real MONAI Label server."""

from __future__ import annotations

import json
import urllib.request

import nibabel
import numpy as np
import pydicom
import pytest
from served import BRAIN, SERVER

from processes import ORTHANC

pytestmark = [
    pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env"),
    pytest.mark.skipif(
        ORTHANC is None, reason="Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)"
    ),
]


def test_studies_are_listed_by_their_uid_and_fetched_once_asked_for(web_client, archive, tmp_path):
    header = pydicom.dcmread(next((archive.heads / "sub-002" / "FLAIR").iterdir()), stop_before_pixels=True)
    objects = web_client.json("GET", "/datastore/?output=all")["objects"]
    everything = json.loads(urllib.request.urlopen(f"{archive.url}/studies").read())
    assert set(objects) == {study["0020000D"]["Value"][0] for study in everything} > {header.StudyInstanceUID}
    for image in (header.StudyInstanceUID, header.SeriesInstanceUID):  # OHIF names a series
        facts = web_client.json("POST", f"/infer/{BRAIN}?image={image}&output=json", fields={"params": "{}"})
        assert facts["modalities"] == ["T1c", "FLAIR"]
        assert facts["millilitres"]["oedema"] > 1
    other = pydicom.dcmread(next((archive.heads / "sub-001" / "FLAIR").iterdir()), stop_before_pixels=True)
    fetched = {path.name for path in web_client.log.parent.glob(".cache/polyscan/*/*")}
    assert header.StudyInstanceUID in fetched
    assert other.StudyInstanceUID not in fetched, "nobody has asked for it"
    status, mask = web_client.ask(
        "POST", f"/infer/{BRAIN}?image={header.StudyInstanceUID}&output=image", fields={"params": "{}"}
    )
    assert status == 200
    (tmp_path / "mask.nii.gz").write_bytes(mask)
    slices = len(list((archive.heads / "sub-002" / "T1c").iterdir()))
    assert slices in nibabel.load(tmp_path / "mask.nii.gz").shape


def test_series_are_answered_on_their_own_grid_and_labels_stored_back(web_client, archive, tmp_path):
    """OHIF's calls: a mask on each series of one study, then a corrected label, kept here and stored there as SEG."""
    asked = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    for name in ("T1c", "FLAIR"):
        files = sorted((archive.heads / "sub-001" / name).iterdir())
        header = pydicom.dcmread(files[0], stop_before_pixels=True)
        where = f"/infer/{BRAIN}?image={header.SeriesInstanceUID}"
        status, answer = web_client.ask("POST", f"{where}&output=image", fields={"params": json.dumps(asked)})
        assert status == 200, answer
        voxels = answer.split(b"\n\n", 1)[1]
        assert len(voxels) == header.Columns * header.Rows * len(files)
    assert set(voxels) <= {0, 1, 2, 3}
    status, answer = web_client.ask("POST", f"{where}&output=dicom_seg", fields={"params": "{}"})
    assert status == 200, answer
    (tmp_path / "seg.dcm").write_bytes(answer)
    segmentation = pydicom.dcmread(tmp_path / "seg.dcm")
    assert segmentation.StudyInstanceUID == header.StudyInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    (tmp_path / "label.bin").write_bytes(voxels)
    names = [{"name": n, "idx": i} for n, i in (("necrotic core", 1), ("oedema", 2), ("enhancing tumour", 3))]
    saved = web_client.json(
        "PUT",
        f"/datastore/label?image={header.SeriesInstanceUID}",
        fields={"params": json.dumps({"label_info": names})},
        file=("label", tmp_path / "label.bin"),
    )
    assert saved["label"] == header.StudyInstanceUID
    stored = urllib.request.urlopen(f"{archive.url}/studies/{header.StudyInstanceUID}/series?Modality=SEG")
    assert len(json.loads(stored.read())) == 1
    for uid in (header.SeriesInstanceUID, header.StudyInstanceUID):
        status, mask = web_client.ask("GET", f"/datastore/label?label={uid}&tag=final")
        assert status == 200, mask
    (tmp_path / "mask.nii.gz").write_bytes(mask)
    kept = np.asarray(nibabel.load(tmp_path / "mask.nii.gz").dataobj)
    np.testing.assert_array_equal(kept.ravel(order="F"), np.frombuffer(voxels, np.uint8))
    sample = web_client.json("POST", "/activelearning/random", body={})
    assert sample["StudyInstanceUID"] == sample["id"]
    listed = json.loads(urllib.request.urlopen(f"{archive.url}/studies/{sample['id']}/series").read())
    modalities = {series["0020000E"]["Value"][0]: series["00080060"]["Value"][0] for series in listed}
    assert modalities[sample["SeriesInstanceUID"]] == sample["Modality"]
    assert "PatientID" in sample


def test_ohif_is_told_of_the_patient_that_it_asks_for_alone(web_client, archive):
    header = pydicom.dcmread(next((archive.heads / "sub-002" / "FLAIR").iterdir()), stop_before_pixels=True)
    for query in (f"StudyInstanceUID={header.StudyInstanceUID}&limit=101", f"00100020={header.PatientID}"):
        studies = web_client.json("GET", f"/proxy/dicom/qido/studies?{query}")
        assert [study["0020000D"]["Value"] for study in studies] == [[header.StudyInstanceUID]]
    assert len(web_client.json("GET", "/proxy/dicom/qido/studies")) > 1


def test_a_study_that_the_server_does_not_have_gets_a_sentence(web_client):
    status, answer = web_client.ask("POST", f"/infer/{BRAIN}?image=1.2.3&output=json", fields={"params": "{}"})
    assert status == 404
    assert "There is no study '1.2.3'" in json.loads(answer)["detail"]
