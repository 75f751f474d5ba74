"""Studies come by C-STORE, results go back; what was confirmed is never lost."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
import torch

from polyscan.bundle.inference_options import InferenceOptions
from polyscan.errors import PolyscanError
from polyscan.hospital import listen
from polyscan.hospital.receive import OUT_OF_RESOURCES, SUCCESS, receiving
from polyscan.hospital.send import sender
from polyscan.hospital.spool import Spool
from processes import ORTHANC, accepts, free_port, orthanc, start, until

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom is not installed (polyscan[listen])")

BUNDLE = "sarcoma_ct_mr_pet_segmentation"


def store(port: int, files, called: str = "POLYSCAN") -> list[int]:
    """The status of each file that is sent; 1 where the connection was lost."""
    from pynetdicom import AE
    from pynetdicom.presentation import StoragePresentationContexts

    entity = AE("SCANNER")
    entity.requested_contexts = StoragePresentationContexts
    association = entity.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return [1] * len(files)
    told = []
    for file in files:
        try:
            told.append(association.send_c_store(pydicom.dcmread(file)).get("Status", 1))
        except RuntimeError:
            told.append(1)
    association.release()
    return told


@pytest.fixture
def ct(make_series):
    """A CT of a body of soft tissue in air, on a grid of 24 x 24 x 12."""

    def change(k, header):
        header.Rows = header.Columns = 24
        y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
        body = ((x - 11.5) ** 2 + (y - 11.5) ** 2 < 100).float()
        values = body * (1024 + 40 * torch.sin(x + k)) + 0 * y
        header.RescaleIntercept = -1024
        header.PixelData = values.to(torch.int16).numpy().tobytes()

    return sorted(make_series("ct", slices=12, change=change, StudyInstanceUID="1.2.840.7").glob("*.dcm"))


def test_images_are_kept_once_they_are_confirmed(ct, tmp_path):
    spool = Spool(tmp_path / "spool")
    with receiving(spool, 0, "POLYSCAN", "127.0.0.1") as port:
        assert set(store(port, ct)) == {SUCCESS}
        entity = pynetdicom.AE()
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", port)
        assert association.send_c_echo().Status == SUCCESS
        association.release()
    kept = sorted((tmp_path / "spool" / "1.2.840.7").glob("*.dcm"))
    sent = {str(pydicom.dcmread(file).SOPInstanceUID): pydicom.dcmread(file).PixelData for file in ct}
    assert {str(pydicom.dcmread(file).SOPInstanceUID): pydicom.dcmread(file).PixelData for file in kept} == sent
    assert list(spool.settled(quiet=3600)) == []
    assert list(spool.settled(quiet=0)) == [tmp_path / "spool" / "1.2.840.7"]


def test_an_operator_is_told_a_line_of_what_came(ct, tmp_path, caplog):
    """Also where the sender breaks off, or sends back what polyscan found."""
    from pynetdicom import AE

    caplog.set_level(logging.INFO, "polyscan")
    own = pydicom.dcmread(ct[0])
    own.Manufacturer, own.Modality = "polyscan", "SEG"
    with receiving(Spool(tmp_path / "spool"), 0, "POLYSCAN", "127.0.0.1") as port:
        store(port, ct[:3])
        entity = AE("SCANNER")
        entity.add_requested_context(own.SOPClassUID)
        association = entity.associate("127.0.0.1", port)
        assert association.send_c_store(own).Status == SUCCESS
        association.abort()
        until(lambda: len(caplog.messages) == 2)
    assert caplog.messages == [
        "Images from SCANNER at 127.0.0.1: 3 kept",
        "Images from SCANNER at 127.0.0.1: 1 not kept, as polyscan's own results, then the connection was lost",
    ]
    assert len(list((tmp_path / "spool").rglob("*.dcm"))) == 3


def test_a_full_disk_refuses_and_loses_nothing(ct, tmp_path, caplog, monkeypatch):
    """The file system's limit for a file, then a disk without room for an image beside the reserve, and for nothing."""
    spool = Spool(tmp_path / "spool")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with receiving(spool, 0, "POLYSCAN", "127.0.0.1") as port:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
        try:
            assert set(store(port, ct[:2])) == {OUT_OF_RESOURCES}
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not [file for file in spool.folder.rglob("*") if file.is_file()]
        spool.reserve = 10**9
        with monkeypatch.context() as patch:
            patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9 + 100))
            assert store(port, ct[:1]) == [OUT_OF_RESOURCES]
            patch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
            entity = pynetdicom.AE("SCANNER")
            entity.add_requested_context("1.2.840.10008.1.1")
            assert entity.associate("127.0.0.1", port).is_rejected
        said = "An association from SCANNER at 127.0.0.1: refused, less than 1 GB would be left of the disk"
        assert said in caplog.messages
        spool.reserve = 0
        assert set(store(port, ct)) == {SUCCESS}


def test_what_is_no_uid_is_refused(tmp_path):
    with pytest.raises(PolyscanError, match="StudyInstanceUID"):
        Spool(tmp_path / "spool").keep("../../outside", "1.2", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_what_the_bundle_cannot_do_is_refused_before_anything_comes(tmp_path):
    with pytest.raises(PolyscanError, match="leave --ignore-atypical away"):
        listen(BUNDLE, tmp_path / "out", port=0, options=InferenceOptions(ignore_atypical=True))
    assert not (tmp_path / "out").exists()


def test_an_archive_is_named_rightly(ct):
    with pytest.raises(PolyscanError, match="give AE@HOST:PORT"):
        sender("10.0.0.1:104")
    with pytest.raises(PolyscanError, match="does not answer"):
        sender(f"PACS@127.0.0.1:{free_port()}")(ct[:1])


@contextmanager
def listening(out: Path, port: int):
    command = ["listen", BUNDLE, "-o", str(out), "--port", str(port), "--host", "127.0.0.1"]
    process = start([*command, "--quiet", "60", "--reserve", "0.001"], out.with_suffix(".log"))
    try:
        until(lambda: accepts(port) or process.exitcode is not None)
        yield process
    finally:
        process.kill()
        process.join()


def delivery(out: Path) -> dict:
    files = list((out / "deliveries").glob("*.json"))
    return json.loads(files[0].read_text()) if files else {}


def asked(url: str):
    with urllib.request.urlopen(url, timeout=10) as found:
        return json.load(found)


@pytest.mark.skipif(ORTHANC is None, reason="Orthanc is not installed (Debian package orthanc)")
def test_from_an_archive_and_back(ct, tmp_path, monkeypatch):
    """Killed when the images are there and before there is an answer; the next process finds them in the spool.

    The archive is down at first, and gets the result when it is up.
    """
    out, port = tmp_path / "out", free_port()
    with listening(out, port) as process:
        assert set(store(port, ct)) == {SUCCESS}
        os.kill(process.pid, signal.SIGKILL)
    assert len(list((out / "spool").glob("*/*.dcm"))) == len(ct)
    stop, archive = threading.Event(), free_port()
    options = {"port": port, "host": "127.0.0.1", "quiet": 1, "reserve": 0, "stop": stop}
    options |= {"send": [f"ORTHANC@127.0.0.1:{archive}"], "options": InferenceOptions(probabilities=True)}
    thread = threading.Thread(target=listen, args=(BUNDLE, out), kwargs=options)
    monkeypatch.setattr("polyscan.hospital.station._AGAIN", 0.5)
    thread.start()
    try:
        until(lambda: delivery(out).get("objects"))
        assert not delivery(out).get("sent")
        with orthanc(tmp_path, archive) as url:
            until(lambda: delivery(out).get("sent") or not thread.is_alive())
            found = [asked(f"{url}/instances/{one}/tags?simplify") for one in asked(f"{url}/instances")]
    finally:
        stop.set()
        thread.join()
    assert len(list((out / "predictions").glob("*_prob.nii.gz"))) == 1
    assert {(out / name).stat().st_mode & 0o077 for name in ("spool", "objects")} == {0}
    assert sorted(one["Modality"] for one in found) == ["SEG", "SR"]
    assert {one["StudyInstanceUID"] for one in found} == {"1.2.840.7"}
    segmentation = next(one for one in found if one["Modality"] == "SEG")
    series = segmentation["ReferencedSeriesSequence"][0]
    assert series["SeriesInstanceUID"] == pydicom.dcmread(ct[0]).SeriesInstanceUID
    assert len(series["ReferencedInstanceSequence"]) == len(ct)
    assert "SECRET" not in "".join(path.name for path in out.rglob("*"))


@pytest.mark.skipif(ORTHANC is None, reason="Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)")
def test_results_go_by_stow(ct, tmp_path):
    pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed (polyscan[listen])")
    with orthanc(tmp_path) as url:
        sender(f"{url}/dicom-web")(ct[:3])
        assert len(asked(f"{url}/instances")) == 3
        with pytest.raises(PolyscanError, match="did not take the results"):
            sender(f"{url}/nothing")(ct[:1])
