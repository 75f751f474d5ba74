"""Labels that clients give back, what is trained on them, and which study comes next, by a real MONAI Label server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from served import BRAIN, GLIOMA, PLUGINS, SERVER, image_of

pytestmark = pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env")


@pytest.fixture(scope="module")
def answers(client) -> dict:
    """Of a batch over all studies, which keeps each as the label ``original``."""
    result = client.json("POST", f"/batch/infer/{BRAIN}?images=all&run_sync=true", body={})
    return result.get("result", result)


def test_batch_goes_on_after_a_bad_study(client, answers):
    failed = {"sub-004", "sub-006", "sub-pictures"}
    assert {key for key, answer in answers.items() if "error" in answer} == failed
    assert all(answers[key]["params"]["millilitres"] for key in ("sub-001", "sub-002", "sub-003", "sub-005"))
    tags = client.json("GET", "/datastore/?output=all")["objects"]
    assert {key for key, value in tags.items() if "original" in value["labels"]} == answers.keys() - failed


def test_corrections_are_kept_trained_on_and_the_next_study_chosen(client, answers, tmp_path):
    for study in ("sub-001", "sub-002"):
        status, mask = client.ask("GET", f"/datastore/label?label={study}&tag=original")
        assert status == 200, mask
        (tmp_path / "label.nii.gz").write_bytes(mask)
        label = ("label", tmp_path / "label.nii.gz")
        saved = client.json("PUT", f"/datastore/label?image={study}&tag=final", fields={"params": "{}"}, file=label)
        assert saved["image"] == study
    _, back = client.ask("GET", "/datastore/label?label=sub-002&tag=final")
    np.testing.assert_array_equal(image_of(back, tmp_path).dataobj, image_of(mask, tmp_path).dataobj)
    assert client.json("GET", "/datastore/")["completed"] == 2
    chosen = client.json("POST", "/activelearning/uncertainty", body={"model": BRAIN})
    assert chosen["id"] in ("sub-003", "sub-005", "sub-006_ses-1", "sub-006_ses-2", "sub-007", "sub-008")
    assert chosen["weight"] == max(chosen["uncertainty"].values())
    before = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
    told = client.json("POST", f"/train/{BRAIN}?run_sync=true", body={"max_epochs": 2})
    (scores,) = told["scores"].values()  # of two, one is held out
    assert told["answering"] == ("1" if scores["after"] >= scores["before"] else "bundle")
    info = client.json("GET", "/info/")
    assert next(iter(info["train_stats"].values())) == told, "viewers show the first"
    assert (told["epoch"], told["total_epochs"]) == (2, 2)
    assert info["trainers"][BRAIN]["config"]["put_back"] == ["", "bundle", "1"]
    for name in ("1", "bundle"):
        put = client.json("POST", f"/train/{BRAIN}?run_sync=true", body={"put_back": name})
        assert put == {"answering": name}
        after = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
        assert (after["millilitres"] == before["millilitres"]) == (name == "bundle")


def test_classes_are_corrected_and_trained_on(client, studies, tmp_path):
    for study, classes in (("sub-001", {"grade": "4", "IDH": "wildtype"}), ("sub-005", {"grade": "2"})):
        (tmp_path / "label.json").write_text(json.dumps(classes))
        label = ("label", tmp_path / "label.json")
        client.json("PUT", f"/datastore/label?image={study}&tag=final", fields={"params": "{}"}, file=label)
    _, back = client.ask("GET", "/datastore/label?label=sub-005&tag=final")
    assert json.loads(back) == {"grade": "2"}
    stats = client.json("POST", f"/train/{GLIOMA}?run_sync=true", body={"max_epochs": 1})
    assert stats["trained"] == "1", stats
    chosen = client.json("POST", "/activelearning/uncertainty", body={"model": GLIOMA})
    assert chosen["id"] not in ("sub-001", "sub-005")


def test_the_model_in_use_is_the_one_that_is_meant_where_none_is_named(client):
    client.json("POST", f"/infer/{GLIOMA}?image=sub-007&output=json", fields={"params": "{}"})
    info = client.json("GET", "/info/")
    assert BRAIN in info["strategies"]["uncertainty"]["config"]["model"]
    for body in ({"model": "none"}, {"limit": "many"}, {"limit": 0}):
        assert client.ask("POST", "/activelearning/uncertainty", body=body)[0] == 422, body
    status, answer = client.ask("POST", "/train/?run_sync=true", body={"max_epochs": 1})
    assert GLIOMA in answer.decode() or "have a final label" in answer.decode(), (status, answer)
    assert BRAIN not in answer.decode()


def test_labels_mean_what_their_names_say_and_bad_ones_leave_the_good_one(client, studies, tmp_path):
    scan = nibabel.load(studies / "sub-007" / "FLAIR.nii.gz")
    drawn = np.zeros(scan.shape, np.uint8)
    for value in (1, 2, 3):  # as Slicer numbers three segments
        drawn[6 * value] = value
    nibabel.save(nibabel.Nifti1Image(drawn, scan.affine), tmp_path / "label.nii.gz")
    names = [{"name": n, "idx": i} for i, n in ((1, "enhancing tumour"), (2, "oedema"), (3, "necrotic core"))]
    where = "/datastore/label?image=sub-007&tag=checked"

    def put(file: Path, params: dict) -> tuple[int, bytes]:
        return client.ask("PUT", where, fields={"params": json.dumps(params)}, file=("label", file))

    status, answer = put(tmp_path / "label.nii.gz", {"label_info": names})
    assert status == 200, answer
    status, kept = client.ask("GET", "/datastore/label?label=sub-007&tag=checked")
    values = np.asarray(image_of(kept, tmp_path).dataobj)
    for drawn_value, value in ((1, 3), (2, 2), (3, 1)):
        np.testing.assert_array_equal(values == value, drawn == drawn_value)
    (tmp_path / "junk.nii.gz").write_bytes(b"junk")
    (tmp_path / "nrrd.nii.gz").write_bytes(b"NRRD0004\ntype: uchar\n\n\x00")
    nibabel.save(nibabel.Nifti1Image(drawn[1:], scan.affine), tmp_path / "shape.nii.gz")
    nibabel.save(nibabel.Nifti1Image(drawn, scan.affine + np.eye(4)), tmp_path / "place.nii.gz")
    nibabel.save(nibabel.Nifti1Image(drawn + np.float32(0.5), scan.affine), tmp_path / "values.nii.gz")
    for bad in ("junk", "nrrd", "shape", "place", "values"):
        assert put(tmp_path / f"{bad}.nii.gz", {"label_info": names})[0] == 422, bad
    nibabel.save(nibabel.Nifti1Image(drawn * 2, scan.affine), tmp_path / "unnamed.nii.gz")
    assert put(tmp_path / "unnamed.nii.gz", {})[0] == 422, "there is no label 6"
    for params in ({"label_info": names[:2]}, {"label_info": [{"name": "liver", "idx": 1}]}, {"label_info": 3}):
        status, answer = put(tmp_path / "label.nii.gz", params)
        assert status == 422, params
    assert "liver" in answer.decode() or "label_info" in answer.decode()
    assert client.ask("GET", "/datastore/label?label=sub-007&tag=checked") == (200, kept)
    (tmp_path / "label.bin").write_bytes(drawn.tobytes(order="F"))  # what OHIF sends
    assert put(tmp_path / "label.bin", {"label_info": names})[0] == 200
    assert client.ask("GET", "/datastore/label?label=sub-007&tag=checked") == (200, kept)


def test_scans_can_be_added_and_names_are_no_paths(client, studies, tmp_path):
    scan = next((studies / "sub-002").rglob("*FLAIR.nii.gz"))
    added = client.json("PUT", "/datastore/image?image=sub-010_FLAIR", fields={"params": "{}"}, file=("file", scan))
    assert added == {"image": "sub-010"}
    facts = client.json("POST", f"/infer/{BRAIN}?image=sub-010&output=json", fields={"params": "{}"})
    assert facts["modalities"] == ["FLAIR"]
    for image, status in (("sub-010_FLAIR", 409), ("sub-010", 422), ("sub-010_unknown", 422), ("..%2Fout_FLAIR", 422)):
        found, _ = client.ask("PUT", f"/datastore/image?image={image}", fields={"params": "{}"}, file=("file", scan))
        assert found == status, image
    for image, params in (("MRBrainTumor1", {"modality": "FLAIR"}), ("MRBrainTumor2", {})):  # Slicer's open volume
        found = client.json(
            "PUT", f"/datastore/?image={image}", fields={"params": json.dumps(params)}, file=("file", scan)
        )
        assert found == {"image": f"sub-{image}"}
        info = client.json("GET", f"/datastore/image/info?image=sub-{image}")
        assert info["modalities"] == [params.get("modality", "T1c")]
        assert ("the scan was taken for T1c" in info.get("assumed", "")) == (not params)
    label = ("label", scan)
    bad = client.ask("PUT", "/datastore/label?image=sub-010&tag=..%2F..%2Fout", fields={"params": "{}"}, file=label)
    assert bad[0] == 422
    assert client.ask("DELETE", "/datastore/label?id=..%2Fsub-010%2Fx&tag=final")[0] == 404
    assert not list(studies.parent.glob("out*"))


def test_what_slicers_plug_in_asks_is_answered(client, studies, tmp_path):
    """Its own, unmodified client makes the calls of a session at the viewer; see docs/label.md."""
    scan = next((studies / "sub-002").rglob("*FLAIR.nii.gz"))
    script, plugin = Path(__file__).with_name("slicer.py"), PLUGINS / "slicer" / "MONAILabel" / "MONAILabelLib"
    done = subprocess.run(
        [SERVER / "python", script, plugin / "client.py", client.url, BRAIN, GLIOMA, scan, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    names = ["necrotic core", "oedema", "enhancing tumour"]
    assert seen["login"] is False
    assert BRAIN in seen["models"]
    assert seen["labels"][:3] == names, "of segmentations only: Slicer makes a segment of each"
    assert seen["random"]["id"]
    assert seen["uncertainty"]["uncertainty"]
    assert seen["mask"] == [".nrrd"]
    assert list(seen["label_names"]) == names
    for name in names:
        assert (seen["segments"][name] > 0) == (seen["millilitres"][name] > 0), "Slicer shows each under its own name"
    assert seen["saved"]
    assert seen["told"] == {"necrotic core": 1, "oedema": 2, "enhancing tumour": 3}
    read, assumed, found = seen["session"]
    assert read == ["T1c"]
    assert "it was read as T1c" in assumed
    assert list(found) == names
    assert seen["uploaded"] == [["T1c"], found], "asked by the name that the client gave to its upload"
    assert seen["kept"] == [".nii", ".gz"]
    assert seen["prediction"] == ["grade 2", "grade 3", "grade 4", "IDH wildtype", "IDH mutated"]
    assert seen["training"] in ("SUBMITTED", "RUNNING")
    assert seen["running"][1] in ("SUBMITTED", "RUNNING", "DONE")
