"""A real MONAI Label server in its own environment, asked for its answers by a real client."""

from __future__ import annotations

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
from served import BRAIN, GLIOMA, SERVER, image_of, parts_of

SARCOMA, RESPONSE = "sarcoma_ct_mr_pet_segmentation", "treatment_response_classification"
PETCT, PICTURES = "petct_staging", "drifa_multitask_classification"

pytestmark = pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env")


def test_every_bundle_is_served(client):
    info = client.json("GET", "/info/")
    assert set(info["trainers"]) == {BRAIN, SARCOMA, GLIOMA, RESPONSE, PETCT, PICTURES}
    assert set(info["models"]) - set(info["trainers"]) == {f"{GLIOMA}_on_scan", f"{RESPONSE}_on_scan"}
    assert {name: model["type"] for name, model in info["models"].items() if model["type"] != "segmentation"} == {
        GLIOMA: "classification",
        RESPONSE: "classification",
        PICTURES: "classification",
    }
    assert info["models"][BRAIN]["modalities"] == ["T1", "T1c", "T2", "FLAIR"]
    assert info["models"][BRAIN]["labels"] == {"necrotic core": 1, "oedema": 2, "enhancing tumour": 3}
    assert {"random", "uncertainty"} <= set(info["strategies"])


def test_a_study_is_one_image(client):
    objects = client.json("GET", "/datastore/?output=all")["objects"]
    sessions = {"sub-006", "sub-006_ses-1", "sub-006_ses-2"}
    assert set(objects) == {
        "sub-001",
        "sub-002",
        "sub-003",
        "sub-004",
        "sub-005",
        "sub-007",
        "sub-008",
        "sub-pictures",
        *sessions,
    }
    assert objects["sub-006"]["image"]["info"]["modalities"] == ["FLAIR@1", "T1c@1", "FLAIR@2", "T1c@2"]
    assert objects["sub-001"]["image"]["info"]["modalities"] == ["FLAIR", "T1", "T1c", "T2"]


@pytest.mark.parametrize("study", ["sub-001", "sub-003", "sub-005"])
def test_the_mask_lies_on_the_scan_that_the_viewer_shows(client, study, tmp_path):
    _, shown = client.ask("GET", f"/datastore/image?image={study}")
    status, mask = client.ask("POST", f"/infer/{BRAIN}?image={study}&output=image", fields={"params": "{}"})
    assert status == 200
    scan, found = image_of(shown, tmp_path), image_of(mask, tmp_path)
    assert scan.shape == found.shape
    np.testing.assert_allclose(scan.affine, found.affine, atol=1e-4)
    values = np.asarray(found.dataobj)
    assert set(np.unique(values)) <= {0, 1, 2, 3}
    inside = np.asarray(scan.dataobj)[values > 0]
    assert len(inside) > 50
    assert np.median(inside) > 0.2 * np.percentile(np.asarray(scan.dataobj), 99), "it must lie in the head"


def test_what_is_said_of_an_answer(client):
    facts = client.json(
        "POST", f"/infer/{BRAIN}?image=sub-003&output=json", fields={"params": json.dumps({"explain": True})}
    )
    assert facts["modalities"] == ["T1", "T2", "FLAIR"]
    assert facts["absent"] == ["T1c"]
    assert facts["contributions"].keys() == facts["confidence"].keys()
    for drove in facts["contributions"].values():
        assert set(drove) == {"T1", "T2", "FLAIR"}
        assert sum(drove.values()) == pytest.approx(1, abs=1e-3)
    assert facts["uncertainty"] == pytest.approx(1 - np.mean(list(facts["confidence"].values())), abs=1e-3)
    assert facts["millilitres"]["oedema"] > 1
    without = client.json(
        "POST", f"/infer/{BRAIN}?image=sub-003&output=json", fields={"params": json.dumps({"absent": ["FLAIR"]})}
    )
    assert without["absent"] == ["T1c", "FLAIR"]
    assert without["millilitres"] != facts["millilitres"]


@pytest.mark.parametrize(
    ("bundle", "study", "read", "tasks"),
    [
        (GLIOMA, "sub-003", ["T1", "T2", "FLAIR"], ["grade", "IDH"]),
        (GLIOMA, "sub-005", ["T1c", "FLAIR"], ["grade", "IDH"]),
        (RESPONSE, "sub-006", ["T1c@1", "FLAIR@1", "T1c@2", "FLAIR@2"], ["response"]),
        (PICTURES, "sub-pictures", ["MRI", "CT"], ["mri", "ct"]),
    ],
)
def test_a_classification_says_how_sure_it_is_and_what_drove_it(client, bundle, study, read, tasks):
    where = f"/infer/{bundle}?image={study}"
    facts = client.json("POST", f"{where}&output=json", fields={"params": "{}"})
    assert facts["modalities"] == read
    assert list(facts["answers"]) == tasks
    for answer in facts["answers"].values():
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert set(answer["contributions"]) - {"days", "clinical"} == set(read)
    assert 0 <= facts["uncertainty"] <= 1
    labels = client.json("GET", "/info/")["models"][bundle]["labels"]
    assert {p["label"]: p["idx"] for p in facts["prediction"]} == labels
    status, content = client.ask("POST", f"{where}&output=image", fields={"params": "{}"})
    assert status == 200
    assert json.loads(content)["answers"] == facts["answers"]


def test_a_classification_is_written_onto_the_scan_for_viewers_that_show_masks_only(client, studies, tmp_path):
    model, where = f"{GLIOMA}_on_scan", f"/infer/{GLIOMA}_on_scan?image=sub-007"
    told = client.json("GET", "/info/")["models"][model]
    assert (told["type"], list(told["labels"].values())) == ("segmentation", [1])
    status, answer = client.ask("POST", where, fields={"params": "{}"})
    assert status == 200, answer
    facts, mask = parts_of(answer)
    ((name, number),) = facts["label_names"].items()
    assert number == 1
    assert all(f"{task}: {said['predicted_class']}" in name for task, said in facts["answers"].items()), name
    ink, scan = image_of(mask, tmp_path), nibabel.load(studies / "sub-007" / "FLAIR.nii.gz")
    assert ink.shape == scan.shape
    np.testing.assert_allclose(ink.affine, scan.affine, atol=1e-4)
    assert set(np.unique(np.asarray(ink.dataobj))) == {0, 1}
    assert client.ask("POST", f"{where}&output=dicom_seg", fields={"params": "{}"})[0] == 422


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        (f"/infer/{BRAIN}?image=sub-999&output=json", 404, "There is no study 'sub-999'"),
        ("/infer/none?image=sub-001&output=json", 404, "There is no model 'none'; there are brain_mri"),
        (f"/infer/{BRAIN}?image=sub-004&output=json", 422, "sub-004 cannot be prepared"),
        (f"/infer/{RESPONSE}?image=sub-001&output=json", 422, "has none of the modalities"),
        (f"/infer/{BRAIN}?image=sub-pictures&output=json", 422, "has none of the modalities"),
    ],
)
def test_what_cannot_be_answered_gets_a_sentence(client, path, status, sentence):
    found, answer = client.ask("POST", path, fields={"params": "{}"})
    assert found == status, answer
    assert sentence in json.loads(answer)["detail"]


def test_a_bundle_without_one_of_its_modalities_says_so(client):
    status, answer = client.ask(
        "POST", f"/infer/{SARCOMA}?image=sub-005&output=json", fields={"params": json.dumps({"absent": ["T1"]})}
    )
    assert status == 422
    assert "has none of the modalities" in json.loads(answer)["detail"]


def test_fifty_uploads_of_two_patients_four_at_once_are_none_confused(client, studies, tmp_path):
    """Each is answered as the same scan is when it is asked for by its study's name, which no upload touches."""
    patients, own = ("sub-007", "sub-008"), {}
    for patient in patients:
        status, answer = client.ask("POST", f"/infer/{BRAIN}?image={patient}", fields={"params": "{}"})
        assert status == 200, answer
        facts, mask = parts_of(answer)
        own[patient] = facts["millilitres"], np.asarray(image_of(mask, tmp_path).dataobj)
        assert own[patient][0]["oedema"] > 1
    assert own["sub-007"][0] != own["sub-008"][0]
    scans = {patient: studies / patient / "FLAIR.nii.gz" for patient in patients}
    for other in ("CT.nii.gz", "sub-009_FLAIR.nii.gz"):  # what lay beside an upload was answered with
        shutil.copyfile(scans["sub-008"], client.temporary / other)
    before = set(client.temporary.iterdir())

    def one(number: int) -> tuple[str, dict, np.ndarray]:
        patient = patients[number % 2]
        if number % 4 < 2:
            status, answer = client.ask(
                "POST",
                f"/infer/{BRAIN}?image=",
                fields={"params": json.dumps({"modality": "FLAIR", "image": "sub-003"})},
                file=("file", scans[patient]),
            )
        else:
            session = client.json("PUT", "/session/", fields={}, file=("files", scans[patient]))["session_id"]
            status, answer = client.ask("POST", f"/infer/{BRAIN}?image=&session_id={session}", fields={"params": "{}"})
            client.json("DELETE", f"/session/{session}")
        assert status == 200, answer
        facts, mask = parts_of(answer)
        return patient, facts, np.asarray(image_of(mask, tmp_path).dataobj)

    with ThreadPoolExecutor(4) as four:
        answers = list(four.map(one, range(50)))
    assert len(answers) == 50
    for patient, facts, mask in answers:
        assert facts["modalities"] == ["FLAIR"]
        assert facts["millilitres"] == own[patient][0]
        np.testing.assert_array_equal(mask, own[patient][1])
    for _ in range(50):  # an upload is removed once its answer has been sent
        left = set(client.temporary.iterdir()) - before
        if not left:
            break
        time.sleep(0.1)
    assert not left, "an upload must be removed"


def test_only_what_was_named_or_uploaded_is_looked_at(client, studies, tmp_path):
    path = studies / "sub-007" / "FLAIR.nii.gz"
    for image in (path, path.parent, studies.parent, "."):
        status, answer = client.ask("POST", f"/infer/{BRAIN}?image={image}&output=json", fields={"params": "{}"})
        assert status == 404, (image, answer)
    status, answer = client.ask("POST", f"/infer/{BRAIN}?session_id=none&output=json", fields={"params": "{}"})
    assert status == 404
    assert "There is no session 'none'" in json.loads(answer)["detail"]
    (tmp_path / "junk.nii.gz").write_bytes(b"junk")
    status, answer = client.ask(
        "POST", f"/infer/{BRAIN}?output=json", fields={"params": "{}"}, file=("file", tmp_path / "junk.nii.gz")
    )
    assert status == 422, answer
    for params in ("{", "[]", '{"explain": "maybe"}', '{"absent": ["CT"]}', '{"modality": "CT"}', '{"absent": 3}'):
        status, answer = client.ask("POST", f"/infer/{BRAIN}", fields={"params": params}, file=("file", path))
        assert status == 422, (params, answer)


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".seg.nrrd"])
def test_an_answer_has_the_format_that_was_asked_for(client, studies, tmp_path, extension):
    asked = {"result_extension": extension, "result_dtype": "uint8", "result_compress": False}
    where = f"/infer/{BRAIN}?image=sub-007"
    status, answer = client.ask("POST", f"{where}&output=image", fields={"params": json.dumps(asked)})
    assert status == 200, answer
    scan = nibabel.load(studies / "sub-007" / "FLAIR.nii.gz")
    if extension == ".nii.gz":
        assert image_of(answer, tmp_path).shape == scan.shape
    else:  # what OHIF reads: NRRD whose bytes are the voxels
        assert answer.startswith(b"NRRD")
        header, voxels = answer.split(b"\n\n", 1)
        assert b"encoding: raw" in header
        assert len(voxels) == np.prod(scan.shape)
        assert (b"Segment0_Name:=necrotic core" in header) == (extension == ".seg.nrrd")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"result_extension": ".png"}, "result_extension is '.png'"),
        ({"result_dtype": "bool"}, "result_dtype is 'bool'"),
        ({"result_compress": "yes"}, "result_compress is 'yes'"),
    ],
)
def test_an_unknown_value_is_refused_by_name(client, params, named):
    where = f"/infer/{BRAIN}?image=sub-007"
    status, answer = client.ask("POST", f"{where}&output=image", fields={"params": json.dumps(params)})
    assert status == 422
    assert named in json.loads(answer)["detail"]
    assert client.ask("POST", f"{where}&output=video", fields={"params": "{}"})[0] == 422


JUNK = {"params": "{"}, {"params": "[1]"}, {"params": "3"}
MEANINGLESS = [
    *(("POST", f"/infer/{BRAIN}?image=sub-001", {"fields": junk}) for junk in JUNK),
    *(
        ("POST", f"/infer/{BRAIN}?image=sub-001", {"fields": {"params": json.dumps(params)}})
        for params in ({"explain": "yes"}, {"absent": 3}, {"absent": ["CT"]}, {"label_prompt": ["x"]})
    ),
    ("POST", f"/infer/{BRAIN}", {"fields": {"params": "{}"}}),
    ("POST", f"/batch/infer/{BRAIN}", {"body": {"max_workers": "many"}}),
    ("POST", f"/batch/infer/{BRAIN}?images=some", {"body": {}}),
    ("POST", f"/batch/infer/{BRAIN}", {"body": [1]}),
    ("POST", "/batch/infer/none", {"body": {}}),
    *(
        ("POST", f"/train/{BRAIN}", {"body": body})
        for body in ({"max_epochs": "ten"}, {"max_epochs": 0}, {"epochs": 3}, {"put_back": "9"}, {"put_back": [1]}, [1])
    ),
    ("POST", "/train/none", {"body": {}}),
    ("POST", "/train/", {"body": {"max_epochs": "ten"}}),
    ("POST", "/activelearning/none", {"body": {}}),
    ("POST", "/activelearning/uncertainty", {"body": {"model": "none"}}),
    ("POST", "/activelearning/uncertainty", {"body": {"limit": "x"}}),
    ("POST", "/activelearning/random", {"body": {"label_tag": [1]}}),
    ("POST", "/activelearning/random", {"body": {"model": ["x"]}}),
    ("PUT", "/datastore/image/info?image=sub-001", {"fields": {"info": "junk"}}),
    ("PUT", "/datastore/image/info?image=sub-001", {"fields": {"info": "[1]"}}),
    ("PUT", "/datastore/label/info?label=sub-001&tag=final", {"fields": {"info": "[1]"}}),
    ("PUT", "/datastore/label?image=sub-001", {"fields": {"params": "{}"}}),
    ("GET", "/datastore/?output=what", {}),
    ("GET", "/datastore/dataset?limit_cases=x", {}),
    ("GET", "/datastore/dataset?limit_cases=-1", {}),
    ("GET", "/datastore/image?image=sub-999", {}),
    ("GET", "/datastore/image/info?image=sub-999", {}),
    ("GET", "/datastore/label?label=sub-001&tag=none", {}),
    ("GET", "/session/none", {}),
    ("DELETE", "/session/none", {}),
    ("PUT", "/session/?expiry=x", {"fields": {}}),
    ("POST", "/scoring/none", {"body": {}}),
    ("POST", "/infer/wsi/none", {"body": {}}),
    ("GET", "/model/none", {}),
    ("GET", "/proxy/dicom/qido/studies", {}),
    ("GET", "/logs/?lines=x", {}),
]


def test_what_means_nothing_is_refused_with_a_sentence_at_every_route(client, studies, tmp_path):
    scan = studies / "sub-007" / "FLAIR.nii.gz"
    uploads = [("PUT", "/datastore/image?image=sub-020_FLAIR", {"fields": j, "file": ("file", scan)}) for j in JUNK]
    uploads += [("PUT", "/datastore/label?image=sub-001", {"fields": j, "file": ("label", scan)}) for j in JUNK]
    (tmp_path / "junk.zip").write_bytes(b"junk")
    uploads.append(("PUT", "/session/?uncompress=true", {"file": ("files", tmp_path / "junk.zip")}))
    for method, path, what in [*MEANINGLESS, *uploads]:
        status, answer = client.ask(method, path, **what)
        assert status in (404, 422), (method, path, what, status, answer)
        detail = json.loads(answer)["detail"]
        assert isinstance(detail, str), (method, path, what, detail)
        assert " " in detail, (method, path, what, detail)


def test_several_volumes_of_one_session_are_one_study(client, studies):
    scans = [next((studies / "sub-002").rglob(f"*{name}.nii.gz")) for name in ("FLAIR", "T2w")]
    session = client.json("PUT", "/session/", files=[("files", scan) for scan in scans])["session_id"]
    facts = client.json("POST", f"/infer/{BRAIN}?session_id={session}&output=json", fields={"params": "{}"})
    assert facts["modalities"] == ["T2", "FLAIR"]
    other = json.dumps({"modality": {scans[0].name: "T1"}})
    facts = client.json("POST", f"/infer/{BRAIN}?session_id={session}&output=json", fields={"params": other})
    assert facts["modalities"] == ["T1", "T2"]


def test_many_requests_four_at_once_leave_memory_level(client):
    def one(number: int) -> int:
        study = ("sub-007", "sub-008", "sub-005" if number < 10 else "sub-007", "sub-008", "sub-004")[number % 5]
        output = "image" if number % 2 else "json"
        if number % 7 == 0:
            return client.ask("GET", "/info/")[0]
        return client.ask("POST", f"/infer/{BRAIN}?image={study}&output={output}", fields={"params": "{}"})[0]

    with ThreadPoolExecutor(4) as four:
        first = list(four.map(one, range(10)))
        level = client.memory()
        rest = list(four.map(one, range(10, 50)))
    expected = [200 if n % 7 == 0 or n % 5 != 4 else 422 for n in range(50)]
    assert first + rest == expected
    assert client.memory() < 1.3 * level, "MiB before and after"
    assert client.ask("GET", "/logs/?lines=5")[0] == 200
