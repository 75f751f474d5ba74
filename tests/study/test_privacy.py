"""Nothing that tells who a patient is leaves the private files."""

from __future__ import annotations

import json
import shutil
import stat

import pytest

import polyscan.study.manifest as manifests
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.schema import encoded
from polyscan.study import Label, Scan, Study
from polyscan.study.manifest import read_manifest
from polyscan.study.privacy import check_privacy
from polyscan.study.sources import Sources, StudySources, read_sources, without_paths

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
HEADERS = {
    "PatientName": "Geheimrat^Annabella",
    "PatientID": "HOSP-4711-X",
    "PatientBirthDate": "19570302",
    "InstitutionName": "Klinikum Obertal",
    "AccessionNumber": "ACC998877",
    "ReferringPhysicianName": "Quacksalber^Otto",
    "StudyID": "STUDY-55-66",
    "StudyDate": "20190817",
}
FOLDER = "Geheimrat_Annabella_1957"
SECRETS = ("geheimrat", "annabella", "hosp-4711", "19570302", "1957-03-02", "obertal", "acc998877", "quacksalber")
SECRETS += ("study-55-66", "20190817", "1957", "spoiltbutnamed")


@pytest.fixture
def ward(make_series, tmp_path, monkeypatch):
    """A patient whose T1 is spoilt."""
    monkeypatch.chdir(tmp_path)
    make_series(f"home/ward/P01/{FOLDER}/CT_{FOLDER}", slices=8, **HEADERS)
    bad = make_series(f"home/ward/P01/{FOLDER}/MR_{FOLDER}", modality="MR", SeriesDescription="T1", **HEADERS)
    for file in bad.iterdir():
        content = file.read_bytes()
        file.rename(file.with_name(f"SpoiltButNamed_{file.name}"))
        file.with_name(f"SpoiltButNamed_{file.name}").write_bytes(content[:-20])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def outputs(folder):
    """All that is written but is not private."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "sources.json"]
    return {file: (str(file.relative_to(folder)) + "\n" + file.read_bytes().decode("latin1")).lower() for file in files}


def test_nothing_of_a_patient_reaches_an_output(ward, capsys, monkeypatch):
    assert main(["scan", "home/ward", "-o", "home/manifest.json"]) == 0
    assert stat.S_IMODE((ward / "home" / "manifest.json").stat().st_mode) == 0o600
    capsys.readouterr()
    assert main(["prepare", "home/manifest.json", "-o", "prepared", "--jobs", "1"]) == 0
    read: list[str] = []

    def noted(path, **options):
        read.append(str(path))
        return read_json(path, **options)

    monkeypatch.setattr(manifests, "read_json", noted)
    assert main(["infer", BUNDLE, "prepared/manifest.json", "-o", "out"]) == 0
    assert read.count("prepared/manifest.json") == len(read) == 1
    shutil.move("home/ward", "away")
    assert main(["report", "out"]) == 0, "no raw scan is needed"
    shutil.move("away", "home/ward")
    said = capsys.readouterr()
    assert "sub-P01: T1: left out: file 1 of T1 " in said.err
    for text in (said.out + said.err).lower(), *outputs(ward / "prepared").values(), *outputs(ward / "out").values():
        assert not [secret for secret in SECRETS if secret in text]
        assert str(ward / "home").lower() not in text
    for folder in ("prepared", "out"):
        assert main(["check-privacy", folder]) == 0
    assert "sources.json is private" in capsys.readouterr().out
    study = read_manifest("prepared/manifest.json").testing[0]
    (source,) = json.loads(open(study.scans["CT"].sidecar).read())["Sources"]  # noqa: PTH123, SIM115
    assert source == f"sources.json#/studies/{study.key}/scans/CT"
    assert stat.S_IMODE((ward / "prepared" / "sources.json").stat().st_mode) == 0o600
    assert FOLDER in read_sources(ward / "prepared" / "sources.json").studies[study.key].scans["CT"]
    planted = {"a.json": '{"x": "of KLINIKUM OBERTAL"}', f"CT_{FOLDER}.txt": "", "b.html": "born 1957-03-02"}
    for name, text in planted.items():
        (ward / "out" / name).write_text(text)
    found = {finding.file.name: finding.what for finding in check_privacy("out")}
    assert found == {
        "a.json": "InstitutionName",
        "b.html": "PatientBirthDate",
        f"CT_{FOLDER}.txt": "the name of a file or folder",
    }
    assert main(["check-privacy", "out"]) == 1
    assert "obertal" not in capsys.readouterr().out.lower()


def test_a_folder_called_as_bids_calls_it_is_the_key_that_outputs_have(tmp_path):
    paths = {f"sub-{n}": str(tmp_path / f"ward/sub-{n}/image/jane_{n}.nii.gz") for n in ("01", "02")}
    studies = {key: StudySources({"T1": path}) for key, path in paths.items()}
    write_json(tmp_path / "sources.json", encoded(Sources(roots=[str(tmp_path / "ward")], studies=studies)))
    for name in ("sub-01_pred.txt", "sub-02_jane_02.txt"):
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("truth image")
    (found,) = check_privacy(tmp_path / "out", tmp_path / "sources.json")
    assert (found.file.name, found.study) == ("sub-02_jane_02.txt", "sub-02")


def test_without_sources_there_is_nothing_to_look_for(tmp_path):
    with pytest.raises(PolyscanError, match=r"has no sources.json beside it"):
        check_privacy(tmp_path)
    (tmp_path / "page.html").write_text("Anna")
    for nothing in ("page.html", "misspelt"):  # "0 findings" would be believed
        with pytest.raises(PolyscanError, match="is no folder"):
            check_privacy(tmp_path / nothing, tmp_path / "sources.json")


def test_a_message_names_the_scan_in_place_of_its_file(tmp_path):
    folder = tmp_path / "ward" / "P1" / "Anna" / "CT"
    folder.mkdir(parents=True)
    for name in ("a.dcm", "b.dcm"):
        (folder / name).write_text("")
    study = Study("P1", scans={"CT": Scan(str(folder)), "PET": Scan([f"{folder}/p#1", f"{folder}/q#1"])})
    study.label = Label(str(tmp_path / "ward" / "P1" / "Anna" / "rs.dcm"))
    for said, meant in {
        f"{folder}/b.dcm is cut": "file 2 of CT is cut",
        "Anna/CT/b.dcm: CT is cut": "file 2 of CT: CT is cut",
        "slices may be missing (a.dcm: is empty)": "slices may be missing (file 1 of CT: is empty)",
        f"{folder} and q: no": "CT and file 2 of PET: no",
        "Anna/rs.dcm has no contours": "the label has no contours",
        "CT has 1.5 mm": "CT has 1.5 mm",
    }.items():
        assert without_paths(said, study) == meant
