"""A real MONAI Label server in its own environment, asked by a real client."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
from served import SERVER, serve

from polyscan.phantom import make_cohort, make_slices

BRAIN, SARCOMA = "brain_mri_tumour_segmentation", "sarcoma_ct_mr_pet_segmentation"
GLIOMA, RESPONSE = "glioma_grading_classification", "treatment_response_classification"
PETCT, PICTURES = "petct_staging", "drifa_multitask_classification"

pytestmark = pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env")


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Five heads: one as DICOM, one without T1c, one whose every scan is spoiled, one of two visits; and pictures."""
    folder = tmp_path_factory.mktemp("label")
    contrasts = ("T1", "T1c", "T2", "FLAIR")
    make_cohort(folder / "nifti", subjects=4, seed=5, modalities=contrasts, missing=0.0)
    make_cohort(folder / "dicom", subjects=1, seed=6, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    shutil.rmtree(folder / "nifti" / "derivatives")
    shutil.move(folder / "dicom" / "sub-001", folder / "nifti" / "sub-005")
    next((folder / "nifti" / "sub-003").rglob("*ce-*T1w.nii.gz")).unlink()
    make_cohort(folder / "visits", subjects=1, seed=7, modalities=("T1c", "FLAIR"), missing=0.0, visits=2)
    shutil.move(folder / "visits" / "sub-001", folder / "nifti" / "sub-006")
    for file in sorted((folder / "nifti" / "sub-006").rglob("sub-001*")):
        file.rename(file.with_name(file.name.replace("sub-001", "sub-006")))
    make_slices(folder / "slices", subjects=4, seed=5)
    shutil.move(folder / "slices" / "sub-0004", folder / "nifti" / "sub-pictures")
    for scan in (folder / "nifti" / "sub-004").rglob("*.nii.gz"):
        scan.write_bytes(scan.read_bytes()[:3000])
    return folder / "nifti"


@pytest.fixture(scope="module")
def client(studies, tmp_path_factory):
    """A server, up."""
    with serve(str(studies), tmp_path_factory.mktemp("server")) as found:
        yield found


def test_every_bundle_is_served(client):
    info = client.json("GET", "/info/")
    assert set(info["models"]) == {BRAIN, SARCOMA, GLIOMA, RESPONSE, PETCT, PICTURES} == set(info["trainers"])
    assert {name: model["type"] for name, model in info["models"].items() if model["type"] != "segmentation"} == {
        GLIOMA: "classification",
        RESPONSE: "classification",
        PICTURES: "classification",
    }
    assert info["models"][BRAIN]["modalities"] == ["T1", "T1c", "T2", "FLAIR"]
    assert info["models"][BRAIN]["labels"] == {"necrotic core": 1, "oedema": 2, "enhancing tumour": 4}
    assert {"random", "uncertainty"} <= set(info["strategies"])


def test_a_study_is_one_image(client):
    objects = client.json("GET", "/datastore/?output=all")["objects"]
    sessions = {"sub-006", "sub-006_ses-1", "sub-006_ses-2"}
    assert set(objects) == {"sub-001", "sub-002", "sub-003", "sub-004", "sub-005", "sub-pictures", *sessions}
    assert objects["sub-006"]["image"]["info"]["modalities"] == ["FLAIR@1", "T1c@1", "FLAIR@2", "T1c@2"]
    assert objects["sub-001"]["image"]["info"]["modalities"] == ["FLAIR", "T1", "T1c", "T2"]


def image_of(answer: bytes, tmp_path: Path) -> nibabel.Nifti1Image:
    path = tmp_path / f"{uuid.uuid4().hex}.nii.gz"
    path.write_bytes(answer)
    return nibabel.load(path)


@pytest.mark.parametrize("study", ["sub-001", "sub-003", "sub-005"])
def test_the_mask_lies_on_the_scan_that_the_viewer_shows(client, study, tmp_path):
    _, shown = client.ask("GET", f"/datastore/image?image={study}")
    status, mask = client.ask("POST", f"/infer/{BRAIN}?image={study}&output=image", fields={"params": "{}"})
    assert status == 200
    scan, found = image_of(shown, tmp_path), image_of(mask, tmp_path)
    assert scan.shape == found.shape
    np.testing.assert_allclose(scan.affine, found.affine, atol=1e-4)
    values = np.asarray(found.dataobj)
    assert set(np.unique(values)) <= {0, 1, 2, 4}
    inside = np.asarray(scan.dataobj)[values > 0]
    assert len(inside) > 50
    assert np.median(inside) > 0.2 * np.percentile(np.asarray(scan.dataobj), 99), "it must lie in the head"


def test_what_is_said_of_an_answer(client):
    facts = client.json(
        "POST", f"/infer/{BRAIN}?image=sub-003&output=json", fields={"params": json.dumps({"explain": True})}
    )
    assert facts["modalities"] == ["T1", "T2", "FLAIR"]
    assert facts["absent"] == ["T1c"]
    assert set(facts["contributions"]) == {"T1", "T2", "FLAIR"}
    assert 0 < facts["uncertainty"] < 1
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


def test_batch_goes_on_after_a_bad_study(client):
    result = client.json("POST", f"/batch/infer/{BRAIN}?images=all&run_sync=true", body={})
    answers = result.get("result", result)
    failed = {"sub-004", "sub-006", "sub-pictures"}
    assert {key for key, answer in answers.items() if "error" in answer} == failed
    assert all(answers[key]["params"]["millilitres"] for key in ("sub-001", "sub-002", "sub-003", "sub-005"))
    tags = client.json("GET", "/datastore/?output=all")["objects"]
    assert {key for key, value in tags.items() if "original" in value["labels"]} == answers.keys() - failed


def test_corrections_are_kept_trained_on_and_the_next_study_chosen(client, studies, tmp_path):
    for study in ("sub-001", "sub-002"):
        status, mask = client.ask("GET", f"/datastore/label?label={study}&tag=original")
        assert status == 200, mask
        (tmp_path / "label.nii.gz").write_bytes(mask)
        label = ("label", tmp_path / "label.nii.gz")
        saved = client.json("PUT", f"/datastore/label?image={study}&tag=final", fields={"params": "{}"}, file=label)
        assert saved["image"] == study
    _, back = client.ask("GET", "/datastore/label?label=sub-002&tag=final")
    assert back == mask
    assert client.json("GET", "/datastore/")["completed"] == 2
    chosen = client.json("POST", "/activelearning/uncertainty", body={"model": BRAIN})
    assert chosen["id"] in ("sub-003", "sub-005", "sub-006_ses-1", "sub-006_ses-2")
    assert chosen["weight"] == max(chosen["uncertainty"].values())
    before = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
    client.json("POST", f"/train/{BRAIN}?run_sync=true", body={"max_epochs": 4})
    assert (studies / ".polyscan" / "models" / BRAIN / "model.pt").is_file()
    after = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
    assert before["millilitres"] != after["millilitres"], "the answer must come from the new weights"


def test_classes_are_corrected_and_trained_on(client, studies, tmp_path):
    for study, classes in (("sub-001", {"grade": "4", "IDH": "wildtype"}), ("sub-005", {"grade": "2"})):
        (tmp_path / "label.json").write_text(json.dumps(classes))
        label = ("label", tmp_path / "label.json")
        client.json("PUT", f"/datastore/label?image={study}&tag=final", fields={"params": "{}"}, file=label)
    _, back = client.ask("GET", "/datastore/label?label=sub-005&tag=final")
    assert json.loads(back) == {"grade": "2"}
    stats = client.json("POST", f"/train/{GLIOMA}?run_sync=true", body={"max_epochs": 1})
    assert (studies / ".polyscan" / "models" / GLIOMA / "model.pt").is_file(), stats
    chosen = client.json("POST", "/activelearning/uncertainty", body={"model": GLIOMA})
    assert chosen["id"] not in ("sub-001", "sub-005")


def test_an_upload_is_a_study_of_its_own(client, studies):
    scan = next((studies / "sub-002").rglob("*FLAIR.nii.gz"))
    session = client.json("PUT", "/session/", fields={}, file=("files", scan))
    facts = client.json(
        "POST", f"/infer/{BRAIN}?session_id={session['session_id']}&output=json", fields={"params": "{}"}
    )
    assert facts["modalities"] == ["FLAIR"]


def test_scans_can_be_added_and_names_are_no_paths(client, studies, tmp_path):
    scan = next((studies / "sub-002").rglob("*FLAIR.nii.gz"))
    added = client.json("PUT", "/datastore/image?image=sub-010_FLAIR", fields={"params": "{}"}, file=("file", scan))
    assert added == {"image": "sub-010"}
    facts = client.json("POST", f"/infer/{BRAIN}?image=sub-010&output=json", fields={"params": "{}"})
    assert facts["modalities"] == ["FLAIR"]
    for image, status in (("sub-010_FLAIR", 409), ("sub-010", 422), ("sub-010_unknown", 422), ("..%2Fout_FLAIR", 422)):
        found, _ = client.ask("PUT", f"/datastore/image?image={image}", fields={"params": "{}"}, file=("file", scan))
        assert found == status, image
    label = ("label", scan)
    bad = client.ask("PUT", "/datastore/label?image=sub-010&tag=..%2F..%2Fout", fields={"params": "{}"}, file=label)
    assert bad[0] == 422
    assert client.ask("DELETE", "/datastore/label?id=..%2Fsub-010%2Fx&tag=final")[0] == 422
    assert not list(studies.parent.glob("out*"))


def test_slicers_own_client_is_answered(client, studies, tmp_path):
    """MONAI Label's client class, which 3D Slicer's plug-in is built on, goes through a session at the viewer."""
    scan = next((studies / "sub-002").rglob("*FLAIR.nii.gz"))
    script = Path(__file__).with_name("slicer.py")
    for spoiled in ("sub-004", "sub-006", "sub-pictures"):  # so that any study that is chosen can be answered
        client.ask("PUT", f"/datastore/label?image={spoiled}&tag=final", fields={"params": "{}"}, file=("label", scan))
    done = subprocess.run(
        [SERVER / "python", script, client.url, BRAIN, GLIOMA, scan, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert BRAIN in seen["models"]
    assert seen["mask"] == [".nii", ".gz"]
    assert seen["saved"]
    assert seen["session"] == ["FLAIR"]
    assert seen["prediction"] == ["grade 2", "grade 3", "grade 4", "IDH wildtype", "IDH mutated"]
    assert seen["studies"] >= 9


def test_many_requests_four_at_once_leave_memory_level(client):
    def one(number: int) -> int:
        study = ("sub-001", "sub-002", "sub-003", "sub-005", "sub-004")[number % 5]
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
