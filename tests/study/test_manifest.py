"""What commands hand to each other: written and read again, checked, and readable by others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from monai.data import load_decathlon_datalist

import polyscan.study.manifest as module
from polyscan.errors import PolyscanError
from polyscan.files.schema import json_schema
from polyscan.report.measures import rows_of
from polyscan.scan_key import ScanKey
from polyscan.study import (
    Decision,
    Grid,
    Label,
    ModelRecord,
    PredictionRecord,
    Preparation,
    RegionScore,
    RegistrationRecord,
    Scan,
    Study,
    TaskPrediction,
)
from polyscan.study.manifest import Failure, Manifest, none_done, read_manifest, write_manifest

SCHEMA = Path(module.__file__).with_name("manifest.schema.json")


def everything(folder: Path) -> Manifest:
    """A manifest of which no field is empty."""
    at = lambda name: str(folder / name)  # noqa: E731
    study = Study(
        "STS 002",
        "1",
        {
            "T1c@2": Scan([at("scans/a#1"), at("scans/b#1")], {"PatientWeight": 71.5}),
            "CT-arterial": Scan(at("scans/ct")),
        },
        Label(at("scans/rs.dcm"), "T1c@2", "GTV", {"grade": "4", "days": 12}),
        {"age": 61, "sex": "M", "score": 0.5},
        ["T1c@2"],
        fold=3,
        days=[0, 84],
        brain_mask=at("scans/brain.nii.gz"),
        centre="A",
        decisions=[Decision("ct", "CT", True, "HU"), Decision("x", None, False, "not known")],
    )
    study.scans["T1c@2"] = Scan([at("scans/a#1"), at("scans/b#1")], {"PatientWeight": 71.5})
    study.preparation = Preparation(
        "default",
        "CT-arterial",
        at("prepared/mask.nii.gz"),
        {"T1c@2": Grid([2, 3, 4], [[1.5, 0, 0, -2], [0, 2, 0, 1], [0, 0, 3, 0.1], [0, 0, 0, 1]])},
        {"T1c@2": RegistrationRecord(True, "fits", at("prepared/t.tfm"))},
        {"label": "left out"},
        {"T1c@2": [0.5, 1.0]},
        {"read": 1.25},
    )
    study.prediction = PredictionRecord(at("out/p.nii.gz"), ["T1c@2"], {"tumour": RegionScore(None, 1.0, 0.0)})
    study.prediction.answers["stage"] = TaskPrediction(
        "I", "II", {"II": 1.0}, 2.5, 0.5, 0.1, {"CT": 0.2}, {"a": 1}, {"a": 2}
    )
    study.prediction.seconds, study.prediction.volumes_ml = 2.5, {"tumour": 1.0}
    return Manifest(
        training=[study],
        validation=[replace(study, session="2")],
        testing=[replace(study, session=None)],
        roots={"scans": at("scans"), "prepared": at("prepared")},
        failed=[Failure("sub-x", "why")],
        left_out=[Decision("y", None, False, "a table")],
        renamed={"\u738b": "subject"},
        doubts=["a and b may be one patient's"],
        absent=["PET"],
        bundle="made",
        made_from="1a2b",
        finished="2026-01-01T00:00:00+00:00",
        dataset="made",
        licence="CC0",
        notes={"tasks": ["grade"]},
    )


@pytest.fixture
def content(tmp_path):
    write_manifest(tmp_path / "a" / "m.json", everything(tmp_path / "a"))
    return json.loads((tmp_path / "a" / "m.json").read_text())


def read_changed(folder, content, **options):
    (folder / "m.json").write_text(json.dumps(content))
    return read_manifest(folder / "m.json", **options)


def test_scans_outside_of_every_root_find_one_beside_a_root_of_that_name(tmp_path):
    paths = [tmp_path / "old" / "a.nii.gz", tmp_path / "new" / "b.nii.gz"]
    studies = [Study(str(k), scans={"T1": Scan(str(path))}) for k, path in enumerate(paths)]
    manifest = tmp_path / "elsewhere" / "m.json"
    write_manifest(
        manifest, Manifest(roots={"data": str(tmp_path / "old"), "here": str(tmp_path)}, testing=studies[:1])
    )
    write_manifest(manifest, Manifest(roots={"data": str(tmp_path / "old")}, testing=studies))
    found = read_manifest(manifest)
    assert [study.scans["T1"].path for study in found.testing] == list(map(str, paths))


def test_a_set_without_a_class_is_not_as_no_set(tmp_path):
    answers = {"set": TaskPrediction("a", prediction_set=[]), "none": TaskPrediction("a")}
    study = Study("a", prediction=PredictionRecord(str(tmp_path / "a_answer.json"), ["T1"], answers=answers))
    write_manifest(tmp_path / "m.json", Manifest(testing=[study]))
    (found,) = read_manifest(tmp_path / "m.json").testing
    assert found.prediction.answers == answers
    (row,) = rows_of([found], [])
    assert row["set not ruled out"] == "no class"
    assert row.get("none not ruled out") is None


def test_what_is_written_is_read_again_wherever_the_folder_goes(tmp_path, content):
    before = everything(tmp_path / "a")
    after = read_manifest(tmp_path / "a" / "m.json")
    assert replace(after, roots=before.roots) == before
    assert content["roots"] == {"scans": "scans", "prepared": "prepared", "here": "."}
    assert content["training"][0]["scans"]["CT-arterial"]["source"] == "scans/ct"
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert read_manifest(tmp_path / "b" / "m.json").studies == everything(tmp_path / "b").studies


def test_the_schema_is_that_of_the_dataclasses(content):
    schema = json.loads(SCHEMA.read_text())
    assert schema == json.loads(json.dumps(json_schema(Manifest))), "write it again: python -m polyscan.study.manifest"
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    content["training"][0]["scans"]["T1c@2"]["sorce"] = "x"
    with pytest.raises(jsonschema.ValidationError, match="sorce"):
        jsonschema.validate(content, schema)


def test_monai_reads_the_sections(tmp_path, content):
    path = str(tmp_path / "a" / "m.json")
    for section in ("training", "validation", "testing"):
        (item,) = load_decathlon_datalist(path, is_segmentation=True, data_list_key=section)
        assert item["subject"] == "STS 002"
        assert set(item["scans"]) == {"T1c@2", "CT-arterial"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(studies=[]), r"studies is not known"),
        (lambda c: c["training"][0].update(images={}), r"training\[0\].images is not known"),
        (lambda c: c["testing"][0]["scans"]["T1c@2"].update(sorce="x"), r"testing\[0\].scans.T1c@2.sorce is not"),
        (lambda c: c["training"][0]["preparation"].pop("reference"), r"training\[0\].preparation.reference is missing"),
        (
            lambda c: c["training"][0].update(fold="1"),
            r"training\[0\].fold is of another kind \(input",
        ),
        (lambda c: c["training"][0]["scans"]["T1c@2"].update(source=3), r"T1c@2.source is of another kind"),
        (lambda c: c["training"][0]["scans"].update({"T 1": {"source": "scans/x"}}), "'T 1' is no key of a scan"),
        (lambda c: c.update(training={}), "training is of another kind"),
        (lambda c: c.update(format_version=9), "has format_version 9, .* install a newer polyscan"),
    ],
)
def test_what_is_not_known_is_refused_by_its_path(tmp_path, content, change, words):
    change(content)
    with pytest.raises(PolyscanError, match=words):
        read_changed(tmp_path, content)


@pytest.mark.parametrize("path", ["/etc/passwd", "scans/../../etc/passwd", "elsewhere/a", "../a", "scans//etc", ""])
def test_a_path_under_no_root_is_refused(tmp_path, content, path):
    content["training"][0]["label"]["mask"] = path
    with pytest.raises(PolyscanError, match="sub-STS002_ses-1 has a path that lies under none of the manifest's roots"):
        read_changed(tmp_path, content)


def test_a_root_is_where_the_user_says(tmp_path, content):
    content["training"][0]["label"]["mask"] = "elsewhere/a"
    content["roots"]["scans"] = "/absolute"
    with pytest.raises(PolyscanError, match=r"its root 'scans' at an absolute path; .* --root scans=DIR"):
        read_changed(tmp_path, content)
    study = read_changed(tmp_path, content, roots={"scans": "/data", "elsewhere": tmp_path}).training[0]
    assert study.label.mask == str(tmp_path / "a")
    assert study.scans["CT-arterial"].source == "/data/ct"


@pytest.mark.parametrize("text", ["T1c", "T1c@2", "CT-arterial", "MG-LCC@3", "T2star", "my_map"])
def test_a_key_is_its_text(text):
    assert str(ScanKey.parse(text)) == text
    assert ScanKey.parse(text).label.replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["", "T1c@", "T1c@0", "@2", "CT-", "T1 c", "a.b", "T1c@2@3", "T1c@2-late"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(PolyscanError, match="is no key of a scan"):
        ScanKey.parse(text)


def test_a_scan_without_a_file_is_refused_by_name(tmp_path):
    path = tmp_path / "m.json"
    path.write_text('{"format_version": 2, "testing": [{"subject": "1", "scans": {"T1": {"source": []}}}]}')
    with pytest.raises(PolyscanError, match="sub-1 has no file for T1"):
        read_manifest(path)


def test_a_folder_is_no_manifest_and_a_file_no_folder(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(PolyscanError, match="is a file; give the folder in which it lies"):
        read_manifest(tmp_path / "manifest.json" / "manifest.json")
    with pytest.raises(PolyscanError, match=r"is a folder, and a manifest is a file: give the manifest\.json in it"):
        read_manifest(tmp_path)


def test_answers_from_scans_that_were_prepared_otherwise_are_told():
    def answered(protocol, learnt, scans=("T1",), read=("T1",)):
        model = ModelRecord("brain", protocols=learnt)
        preparation = Preparation(protocol, "T1") if protocol else None
        scans = {name: Scan("/x") for name in scans}
        told = PredictionRecord("/y", model=model, present=list(read))
        return Study("a", scans=scans, preparation=preparation, prediction=told)

    same = [answered("brain_mri", ["brain_mri"]), answered("", [""]), answered("mine", []), answered("", ["x"], ())]
    same.append(answered("brain_mri", [""], read=["clinical"]))
    assert Manifest(testing=same).prepared_otherwise == ""
    other = [answered("", ["brain_mri"]), answered("default", ["brain_mri"])]
    assert Manifest(testing=[*same, *other]).prepared_otherwise == (
        "The manifest has 2 studies prepared by default and no protocol, where the network learnt from those of "
        "brain_mri: its answers may be wrong; prepare them by that protocol."
    )


@pytest.mark.parametrize("reason", ["no scan.", "sub-a: no scan."])
def test_where_no_study_came_to_anything_each_is_named_once(reason):
    four = [Failure(f"sub-{letter}", "no scan.") for letter in "abcd"]
    assert str(none_done("drawn", 4, four)).endswith("drawn: sub-a: no scan; sub-b: no scan; sub-c: no scan; ...")
    assert str(none_done("drawn", 2, [Failure("sub-a", reason)])).endswith("drawn: sub-a: no scan.")
    assert str(none_done("drawn", 0, [])) == "The manifest holds no study to be drawn; give one that does."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "is no manifest"),
        ('{"training": []}', "has format_version None, this polyscan .* reads 2; make it again"),
        ('{"format_version": 3, "training": []}', "has format_version 3, .* install a newer polyscan"),
        ('{"format_version": 2, "training": [{"scans": {}}]}', r"training\[0\].subject is missing"),
        ('{"format_version": 2, "training": [{"subject": "a"}, {"subject": "a!"}]}', "twice"),
        ('{"format_version": 2, "training": [{"subject": "a"}], "training": []}', "one object has 'training' twice"),
        ('{"format_version": 2, "training": [{"subject": "a", "clinical": {"age": NaN}}]}', "as age of clinical"),
        ('{"format_version": 2, "training": [{"subject": "a", "clinical": {"age": [6]}}]}', "as age of clinical"),
    ],
)
def test_bad_manifests_are_refused(tmp_path, text, words):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(PolyscanError, match=words):
        read_manifest(tmp_path / "m.json")
