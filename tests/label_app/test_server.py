"""A real MONAI Label server in its own environment, asked by a real client."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest

from polyscan.phantom import make_cohort

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / ".venv-label" / "bin"
BRAIN, SARCOMA = "brain_mri_tumour_segmentation", "sarcoma_ct_mr_pet_segmentation"

pytestmark = pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env")


class Client:
    """What Slicer's and OHIF's plug-ins send, with the standard library."""

    def __init__(self, port: int, process: subprocess.Popen, log: Path) -> None:
        self.url, self.process, self.log = f"http://127.0.0.1:{port}", process, log

    def ask(self, method: str, path: str, *, fields=None, file=None, body=None) -> tuple[int, bytes]:
        """Status and answer."""
        data, headers = None, {}
        if body is not None:
            data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        elif fields is not None or file is not None:
            data, headers = multipart(fields or {}, file)
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, method: str, path: str, **what):
        """The answer of a request that must succeed."""
        status, answer = self.ask(method, path, **what)
        assert status == 200, (status, answer[:500], self.log.read_text()[-2000:])
        return json.loads(answer)

    def memory(self) -> int:
        """MiB that the server's processes hold."""
        pages = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(folder.name)) == self.process.pid:
                    pages += int((folder / "statm").read_text().split()[1])
            except (OSError, ProcessLookupError):
                continue
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def multipart(fields: dict[str, str], file: tuple[str, Path] | None) -> tuple[bytes, dict[str, str]]:
    """A form as a browser sends it."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
    ]
    if file is not None:
        name, path = file
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
        parts.append(head.encode() + path.read_bytes() + b"\r\n")
    return b"".join([*parts, f"--{mark}--\r\n".encode()]), {"Content-Type": f"multipart/form-data; boundary={mark}"}


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Four heads: one as DICOM, one without T1c, one whose every scan is spoiled."""
    folder = tmp_path_factory.mktemp("label")
    contrasts = ("T1", "T1c", "T2", "FLAIR")
    make_cohort(folder / "nifti", subjects=4, seed=5, modalities=contrasts, missing=0.0)
    make_cohort(folder / "dicom", subjects=1, seed=6, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    shutil.rmtree(folder / "nifti" / "derivatives")
    shutil.move(folder / "dicom" / "sub-001", folder / "nifti" / "sub-005")
    next((folder / "nifti" / "sub-003").rglob("*ce-*T1w.nii.gz")).unlink()
    for scan in (folder / "nifti" / "sub-004").rglob("*.nii.gz"):
        scan.write_bytes(scan.read_bytes()[:3000])
    return folder / "nifti"


@pytest.fixture(scope="module")
def client(studies, tmp_path_factory):
    """A server, up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    environment = {**os.environ, "PATH": f"{SERVER}:{os.environ['PATH']}", "HOME": str(log.parent)}
    command = [str(SERVER / "monailabel"), "start_server", "--app", str(ROOT / "src" / "polyscan" / "label_app")]
    command += ["--studies", str(studies), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    found = Client(port, process, log)
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()[-3000:]
            try:
                if found.ask("GET", "/info/")[0] == 200:
                    break
            except OSError:
                time.sleep(0.5)
        yield found
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def test_every_bundle_is_served(client):
    info = client.json("GET", "/info/")
    assert set(info["models"]) == {BRAIN, SARCOMA} == set(info["trainers"])
    assert info["models"][BRAIN]["modalities"] == ["T1", "T1c", "T2", "FLAIR"]
    assert info["models"][BRAIN]["labels"] == {"necrotic core": 1, "oedema": 2, "enhancing tumour": 4}
    assert {"random", "uncertainty"} <= set(info["strategies"])


def test_a_study_is_one_image(client):
    objects = client.json("GET", "/datastore/?output=all")["objects"]
    assert set(objects) == {"sub-001", "sub-002", "sub-003", "sub-004", "sub-005"}
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
    ("path", "status", "sentence"),
    [
        (f"/infer/{BRAIN}?image=sub-999&output=json", 404, "There is no study 'sub-999'"),
        ("/infer/none?image=sub-001&output=json", 404, "There is no model 'none'; there are brain_mri"),
        (f"/infer/{BRAIN}?image=sub-004&output=json", 422, "sub-004 cannot be prepared"),
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
    assert "error" in answers["sub-004"]
    assert all(answers[key]["params"]["millilitres"] for key in ("sub-001", "sub-002", "sub-003", "sub-005"))
    tags = client.json("GET", "/datastore/?output=all")["objects"]
    assert {key for key, value in tags.items() if "original" in value["labels"]} == answers.keys() - {"sub-004"}


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
    assert chosen["id"] in ("sub-003", "sub-005")
    assert chosen["weight"] == max(chosen["uncertainty"].values())
    before = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
    client.json("POST", f"/train/{BRAIN}?run_sync=true", body={"max_epochs": 4})
    assert (studies / ".polyscan" / "models" / BRAIN / "model.pt").is_file()
    after = client.json("POST", f"/infer/{BRAIN}?image=sub-005&output=json", fields={"params": "{}"})
    assert before["millilitres"] != after["millilitres"], "the answer must come from the new weights"


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
