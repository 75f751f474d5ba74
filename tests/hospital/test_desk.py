"""What a listener does with studies whose images came, without a network."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pydicom
import pytest
import torch

from polyscan.batch import Batch, write_cohort
from polyscan.batch.plan import Halt
from polyscan.bundle.config import bundle_folder
from polyscan.cli import main
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.dicom import save_dicom
from polyscan.hospital import listen_status
from polyscan.hospital.send import UnreachableError, sender
from polyscan.hospital.station import Desk

pytest.importorskip("highdicom", reason="highdicom is not installed (polyscan[dicom])")
BUNDLE = "sarcoma_ct_mr_pet_segmentation"


@pytest.fixture
def came(make_series, tmp_path):
    """Puts the CT of a body, on a grid of 16 x 16 x 8, into the spool as the images of a study."""
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    body = ((x - 7.5) ** 2 + (y - 7.5) ** 2 < 45).float()

    def change(k, header):
        header.Rows = header.Columns = 16
        header.RescaleIntercept = -1024
        header.PixelData = (body * (1024 + 40 * torch.sin(x + k))).to(torch.int16).numpy().tobytes()

    def put(uid: str) -> Path:
        made = make_series(uid, slices=8, change=change, StudyInstanceUID=uid)
        folder = tmp_path / "out" / "spool" / uid
        folder.mkdir(parents=True, exist_ok=True)
        for file in made.glob("*.dcm"):
            shutil.move(file, folder / f"{pydicom.dcmread(file).SOPInstanceUID}.dcm")
        return folder

    return put


@pytest.fixture
def desk(tmp_path):
    """Without archives."""
    return desk_with(tmp_path)


def desk_with(tmp_path, archives=None, keep_days=1.0) -> Desk:
    return Desk(Batch(tmp_path / "out", bundle_folder(BUNDLE)), archives or {}, keep_days, 7.0)


@pytest.fixture
def answered(monkeypatch):
    """Each study is at once, by an object that is empty."""

    def ask(desk, study, delivery):
        delivery.objects = [f"objects/{study.key}.dcm"]
        path = desk.plan.out / delivery.objects[0]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    monkeypatch.setattr(Desk, "_ask", ask)


def test_uids_of_the_same_digits_are_two_studies(came, desk, tmp_path):
    """And what is found is no label where it comes back, unless a person corrected it."""
    folders = [came(uid) for uid in ("1.2.34", "1.23.4")]
    for folder in folders:
        desk.attend(folder)
    assert listen_status(tmp_path / "out").done == ["sub-1x2x34", "sub-1x23x4"]
    for uid in ("1.2.34", "1.23.4"):
        delivery = json.loads((tmp_path / "out" / "deliveries" / f"{uid}.json").read_text())
        found = [pydicom.dcmread(tmp_path / "out" / name) for name in delivery["objects"]]
        assert [(one.Modality, one.StudyInstanceUID) for one in found] == [("SEG", uid), ("SR", uid)]
    folder = folders[0]
    shutil.copy(tmp_path / "out" / "objects" / "sub-1x2x34" / "sub-1x2x34_seg.dcm", folder / "1.dcm")
    found = scan(folder)
    assert found.studies[0].label.mask is None
    assert "an answer of polyscan" in str(found.studies[0].decisions)
    corrected = pydicom.dcmread(folder / "1.dcm")
    corrected.SegmentSequence[0].SegmentAlgorithmType = "SEMIAUTOMATIC"
    save_dicom(corrected, folder / "1.dcm")
    assert scan(folder).studies[0].label.mask is not None


def test_a_study_waits_for_room_or_the_device_however_long(came, desk, tmp_path, monkeypatch):
    folder = came("1.2.34")
    monkeypatch.setattr("polyscan.hospital.station.run_study", lambda study, plan: Halt("The disk is full."))
    monkeypatch.setattr("polyscan.hospital.station._AGAIN", 0.0)
    for _ in range(7):
        with pytest.raises(OSError, match="disk is full"):
            desk.attend(folder)
    assert listen_status(tmp_path / "out").waiting == ["sub-1x2x34"]


def test_an_archive_that_is_away_is_not_asked_for_each_study(came, answered, tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    asked = []

    def send(files):
        asked.append([Path(file).name for file in files])
        if len(asked) == 1:
            raise UnreachableError("PACS@10.0.0.1:104 does not answer.")

    desk = desk_with(tmp_path, {"PACS@10.0.0.1:104": send})
    folders = [came("1.2.34"), came("1.2.35")]
    for folder in folders:
        desk.attend(folder)
    assert len(asked) == 1
    assert main(["status", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "sub-1x2x34: not sent yet: PACS@10.0.0.1:104 does not answer.",
        "2 done, 0 failed, 0 running, 0 waiting, 1 not sent yet",
    ]
    desk._not_before.clear()
    for folder in (*folders, *folders):
        desk.attend(folder)
    assert asked[1:] == [["sub-1x2x34.dcm"], ["sub-1x2x35.dcm"]]
    said = [f"{record.levelname} {record.message}" for record in caplog.records if record.name.startswith("polyscan.h")]
    assert said == [
        "INFO sub-1x2x34: 8 images came",
        "INFO sub-1x2x34: answered",
        "ERROR sub-1x2x34: not sent yet, and tried again every 30 seconds: PACS@10.0.0.1:104 does not answer.",
        "INFO sub-1x2x35: 8 images came",
        "INFO sub-1x2x35: answered",
        "INFO sub-1x2x34: sent to PACS@10.0.0.1:104",
        "INFO sub-1x2x35: sent to PACS@10.0.0.1:104",
    ]


def test_what_is_amiss_with_a_study_stops_no_other(came, answered, desk, tmp_path, caplog):
    spoilt, folder = came("1.2.34"), came("1.2.35")
    (tmp_path / "out" / "deliveries").mkdir()
    (tmp_path / "out" / "deliveries" / "1.2.34.json").write_text("{")
    desk.attend(spoilt)
    desk.attend(folder)
    assert "sub-1x2x34 has to wait" in caplog.text
    assert (tmp_path / "out" / "objects" / "sub-1x2x35.dcm").is_file()


def test_images_of_two_patients_under_one_uid_are_not_answered(came, answered, desk, tmp_path):
    folder = came("1.2.34")
    for k, file in enumerate(folder.glob("*.dcm")):
        image = pydicom.dcmread(file)
        image.PatientID, image.PatientName = "AB"[k % 2], "AB"[k % 2]
        save_dicom(image, file)
    desk.attend(folder)
    assert "2 studies, as of several patients" in (tmp_path / "out" / "deliveries" / "1.2.34.json").read_text()
    assert not (tmp_path / "out" / "objects").exists()


def test_images_go_in_time_and_what_was_found_stays(came, tmp_path):
    out, desk = tmp_path / "out", desk_with(tmp_path, keep_days=0.0)
    folder, failed = came("1.2.34"), came("1.2.35")
    for file in failed.glob("*.dcm"):
        file.write_bytes(b"no image")
    for each in (folder, failed, folder, failed):
        desk.attend(each)
    desk.write_tables()
    assert not folder.exists()
    assert len(list(failed.glob("*.dcm"))) == 8
    assert not (out / "prepared" / "sub-1x2x34").exists()
    assert (out / "pages" / "sub-1x2x34.html").is_file()
    table = (out / "cohort.csv").read_text()
    write_cohort(out)
    assert (out / "cohort.csv").read_text() == table
    status = listen_status(out)
    assert (status.done, list(status.failed)) == (["sub-1x2x34"], ["sub-1x2x35"])
    assert str(tmp_path) not in status.failed["sub-1x2x35"]


def test_tables_are_written_in_a_small_part_of_the_time(came, answered, desk, monkeypatch):
    clock, written = [0.0], []

    def slow(out):
        written.append(clock[0])
        clock[0] += 3.0

    monkeypatch.setattr("polyscan.hospital.station.write_cohort", slow)
    monkeypatch.setattr("polyscan.hospital.station.time.monotonic", lambda: clock[0])
    desk.attend(came("1.2.34"))
    desk.write_tables()
    desk.write_tables()
    desk.attend(came("1.2.35"))
    for clock[0] in (59.0, 60.0, 61.0, 200.0):
        desk.write_tables()
    desk.attend(came("1.2.36"))
    desk.write_tables()
    desk.write_tables(at_once=True)
    assert written == [0.0, 60.0, 200.0]


def test_tables_that_cannot_be_written_cost_themselves_alone(desk, monkeypatch, caplog):
    def write(out):
        raise PolyscanError("A column has no name.")

    monkeypatch.setattr("polyscan.hospital.station.write_cohort", write)
    desk.write_tables()
    assert "The tables cannot be written: A column has no name." in caplog.text


def test_a_damaged_record_costs_its_row_alone(desk, tmp_path):
    (tmp_path / "out" / "records").mkdir(parents=True)
    (tmp_path / "out" / "records" / "sub-1.json").write_text("{")
    desk.write_tables()
    assert (tmp_path / "out" / "cohort.csv").is_file()


def test_a_failed_study_is_tried_again_where_its_delivery_is_removed(came, desk, tmp_path, monkeypatch):
    folder = came("1.2.34")
    with monkeypatch.context() as patch:
        patch.setattr("polyscan.batch.one_study.prepare_study", lambda *_: (_ for _ in ()).throw(ValueError("bad")))
        desk.attend(folder)
    desk.attend(folder)
    assert list(listen_status(tmp_path / "out").failed) == ["sub-1x2x34"]
    (tmp_path / "out" / "deliveries" / "1.2.34.json").unlink()
    desk.attend(folder)
    assert listen_status(tmp_path / "out").done == ["sub-1x2x34"]


def test_a_web_server_that_takes_some_results_is_sent_them_again(came, monkeypatch):
    client = pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed (polyscan[listen])")
    told = pydicom.Dataset()
    told.FailedSOPSequence = [pydicom.Dataset()]
    monkeypatch.setattr(client.DICOMwebClient, "store_instances", lambda self, files: told)
    files = sorted(came("1.2.34").glob("*.dcm"))[:2]
    with pytest.raises(PolyscanError, match="did not take 1 of 2 results"):
        sender("http://127.0.0.1:1/dicom-web")(files)
