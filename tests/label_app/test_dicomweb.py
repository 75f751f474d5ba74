"""Studies of a real DICOMweb server, Orthanc, answered for by a real MONAI Label server."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from served import SERVER, free_port, serve

from polyscan.phantom import make_cohort

BRAIN = "brain_mri_tumour_segmentation"
PLUGIN = Path("/usr/share/orthanc/plugins")

pytestmark = [
    pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env"),
    pytest.mark.skipif(
        not any(shutil.which(name) for name in ("Orthanc", "orthanc", "/usr/sbin/Orthanc")),
        reason="Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)",
    ),
]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """An Orthanc that holds two made heads: its DICOMweb address and their folder."""
    folder, port = tmp_path_factory.mktemp("orthanc"), free_port()
    make_cohort(folder / "heads", subjects=2, seed=5, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    program = shutil.which("Orthanc") or shutil.which("orthanc") or "/usr/sbin/Orthanc"
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(60):
            assert process.poll() is None, (folder / "log.txt").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{url}/system", timeout=5)
                break
            except urllib.error.URLError:
                time.sleep(0.5)
        for file in sorted((folder / "heads").rglob("*.dcm")):
            urllib.request.urlopen(urllib.request.Request(f"{url}/instances", file.read_bytes(), method="POST"))
        yield f"{url}/dicom-web", folder / "heads"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def client(orthanc, tmp_path_factory):
    with serve(orthanc[0], tmp_path_factory.mktemp("server")) as found:
        yield found


def test_studies_are_listed_by_their_uid_and_fetched_once_asked_for(client, orthanc, tmp_path):
    header = pydicom.dcmread(next((orthanc[1] / "sub-002" / "FLAIR").iterdir()), stop_before_pixels=True)
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
    slices = len(list((orthanc[1] / "sub-002" / "T1c").iterdir()))
    assert slices in nibabel.load(tmp_path / "mask.nii.gz").shape


def test_series_are_answered_on_their_own_grid_and_labels_stored_back(client, orthanc, tmp_path):
    """OHIF's calls: a mask on each series of one study, then a corrected label, kept here and stored there as SEG."""
    asked = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    for name in ("T1c", "FLAIR"):
        files = sorted((orthanc[1] / "sub-001" / name).iterdir())
        header = pydicom.dcmread(files[0], stop_before_pixels=True)
        where = f"/infer/{BRAIN}?image={header.SeriesInstanceUID}"
        status, answer = client.ask("POST", f"{where}&output=image", fields={"params": json.dumps(asked)})
        assert status == 200, answer
        voxels = answer.split(b"\n\n", 1)[1]
        assert len(voxels) == header.Columns * header.Rows * len(files)
    assert set(voxels) <= {0, 1, 2, 4}
    status, answer = client.ask("POST", f"{where}&output=dicom_seg", fields={"params": "{}"})
    assert status == 200, answer
    (tmp_path / "seg.dcm").write_bytes(answer)
    segmentation = pydicom.dcmread(tmp_path / "seg.dcm")
    assert segmentation.StudyInstanceUID == header.StudyInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    (tmp_path / "label.bin").write_bytes(voxels)
    names = [{"name": n, "idx": i} for n, i in (("necrotic core", 1), ("oedema", 2), ("enhancing tumour", 4))]
    saved = client.json(
        "PUT",
        f"/datastore/label?image={header.SeriesInstanceUID}",
        fields={"params": json.dumps({"label_info": names})},
        file=("label", tmp_path / "label.bin"),
    )
    assert saved["label"] == header.StudyInstanceUID
    stored = urllib.request.urlopen(f"{orthanc[0]}/studies/{header.StudyInstanceUID}/series?Modality=SEG")
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


def test_a_study_that_the_server_does_not_have_gets_a_sentence(client):
    status, answer = client.ask("POST", f"/infer/{BRAIN}?image=1.2.3&output=json", fields={"params": "{}"})
    assert status == 404
    assert "There is no study '1.2.3'" in json.loads(answer)["detail"]
