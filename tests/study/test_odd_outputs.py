"""Whatever a command is told to write to, no file of somebody else is changed: each command in each odd place."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from polyscan.cli import COMMANDS, main
from polyscan.study import PredictionRecord
from polyscan.study.manifest import read_manifest, write_manifest

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
COMMAND_LINES = {  # the place is put behind; {of} is the folder of the fixture
    "advise": "advise {of}/prepared/manifest.json --target mask -o",
    "batch": f"batch {BUNDLE} {{of}}/ward --jobs 1 -o",
    "batch a manifest": f"batch {BUNDLE} {{of}}/scans.json --jobs 1 -o",
    "batch as a job array": f"batch {BUNDLE} {{of}}/ward --job-array slurm:2 -o",
    "compare": "compare {of}/protocol.json -o",
    "course": "course {of}/volumes.csv --population {of}/population.json -o",
    "dataset": "dataset brats_2021 {of}/ward -o",
    "demo": "demo",
    "dicom": "dicom {of}/answers --sources {of}/prepared/sources.json -o",
    "features": f"features {BUNDLE} {{of}}/five.json -o",
    "infer": f"infer {BUNDLE} {{of}}/prepared/manifest.json -o",
    "infer out of fold": f"infer {BUNDLE} {{of}}/prepared/manifest.json --out-of-fold {{of}}/folds -o",
    "label-app": "label-app",
    "listen": f"listen {BUNDLE} --port 0 -o",
    "methods": "methods {of}/answers -o",
    "native": "native {of}/answers -o",
    "phantom": "phantom --subjects 1 --modalities T1 --",
    "phantom of a task": "phantom --task interaction --subjects 20",
    "picture": "picture {of}/answers --overlay CT T1 -o",
    "plan": f"plan {BUNDLE} {{of}}/prepared/manifest.json --memory 2 -o",
    "prepare": "prepare {of}/scans.json --registered --jobs 1 -o",
    "report": "report {of}/answers --jobs 1 -o",
    "scan": "scan {of}/ward -o",
    "status": "status --table",
    "translate": "translate {of}/unpaired.json --between CT T1 -o",
    "train": f"train {BUNDLE} {{of}}/prepared/manifest.json -o",
    "train with a cache": f"train {BUNDLE} {{of}}/prepared/manifest.json -o {{of}}/run --cache",
    "train folds": f"train {BUNDLE} {{of}}/prepared/manifest.json --folds 2 -o",
}
PLACES = {
    "the scans": "ward",
    "what holds them": "",
    "a patient": "ward/patient0",
    "a link to a patient": "ward/link",
    "a scan": "ward/patient0/CT.nii.gz",
    "something else": "thesis",
    "what is prepared": "prepared",
    "a prepared study": "prepared/sub-patient0",
    "the prepared manifest": "prepared/manifest.json",
    "new, in a patient": "ward/patient0/new",
    "new, beside the patients": "ward/new",
    "new, in a prepared study": "prepared/sub-patient0/new",
}
READS_NO_SCAN = {"compare", "course", "demo", "label-app", "listen", "phantom", "phantom of a task", "status"}
WRITES_A_FILE = {"dataset", "methods", "plan", "scan"}
OWNS_NOTHING = {"calibrate", "check_privacy", "evaluate"}  # beside its weights; nothing at all


def cases():
    for command in COMMAND_LINES:
        for place in PLACES:
            goes_on = (command, place) == ("prepare", "what is prepared")
            only_adds = (
                PLACES[place].startswith("ward")
                and PLACES[place].endswith("new")
                and command in READS_NO_SCAN | WRITES_A_FILE
            )
            if not goes_on and not only_adds:
                yield pytest.param(command, place, id=f"{command}: {place}")


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def of(make_ward, tmp_path_factory):
    """Scans, what was prepared and answered from them, what other commands read, and somebody's thesis."""
    folder = tmp_path_factory.mktemp("odd")
    make_ward(folder / "ward", 3)
    assert main(["scan", str(folder / "ward"), "-o", str(folder / "scans.json")]) == 0
    (folder / "ward" / "link").symlink_to("patient1")
    prepared = folder / "prepared"
    assert main(["prepare", str(folder / "scans.json"), "--registered", "--jobs", "1", "-o", str(prepared)]) == 0
    manifest = read_manifest(prepared / "manifest.json")
    answers = [
        replace(s, prediction=PredictionRecord(path=s.label.mask, present=list(s.scans))) for s in manifest.studies
    ]
    five = [replace(manifest.studies[0], subject=f"copy{n}") for n in range(5)]
    write_manifest(folder / "five.json", replace(manifest, training=[], testing=five))
    unpaired = [replace(study, scans={name: study.scans[name]}) for name in ("CT", "T1") for study in five[:2]]
    unpaired = [replace(study, subject=f"single{n}") for n, study in enumerate(unpaired)]
    write_manifest(folder / "unpaired.json", replace(manifest, training=unpaired, testing=[]))
    (folder / "folds" / "fold0").mkdir(parents=True)
    write_manifest(folder / "folds" / "fold0.json", replace(manifest, training=[], validation=manifest.studies))
    (folder / "folds" / "fold0" / "model.pt").write_bytes(b"weights")
    (folder / "answers").mkdir()
    write_manifest(folder / "answers" / "manifest.json", replace(manifest, training=[], testing=answers))
    table = ["subject,day,volume_ml"]
    table += [f"{n},{day},{(1 + n % 5) * 1.01**day:.3f}" for n in range(30) for day in (0, 30, 60, 90)]
    (folder / "volumes.csv").write_text("\n".join(table))
    assert main(["course", str(folder / "volumes.csv"), "-o", str(folder / "course")]) == 0
    (folder / "population.json").write_bytes((folder / "course" / "population.json").read_bytes())
    cohort = {"task": "interaction", "subjects": 20}
    (folder / "protocol.json").write_text(json.dumps({"cohort": cohort, "strategies": {}, "folds": 2, "epochs": 1}))
    (folder / "thesis").mkdir()
    for name in ("chapter.txt", "manifest.json", "notes.html", "cohort.csv", "model.pt", "main.py"):
        (folder / "thesis" / name).write_text("years of work with polyscan")
    return folder


@pytest.mark.parametrize(("command", "place"), cases())
def test_nothing_is_changed_and_one_sentence_is_said(of, command, place, capsys):
    before = hashes(of)
    assert main([*COMMAND_LINES[command].format(of=of).split(), str(of / PLACES[place])]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert hashes(of) == before
    assert said.startswith(f"polyscan {command.split()[0]}: ")
    assert said.endswith(".")


def test_every_command_is_tried():
    tried = {line.split()[0].replace("-", "_") for line in COMMAND_LINES.values()}
    assert tried | OWNS_NOTHING | {"native"} == set(COMMANDS)


def test_the_scans_behind_prepared_studies_are_told_by_their_list(of, tmp_path, capsys):
    arguments = ["native", str(of / "answers"), "-o", str(of / "ward" / "patient0" / "new")]
    assert main(arguments) == 1
    assert f"lies in {of / 'ward' / 'patient0'}, which holds scans" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "native")]) == 0


def test_a_calibration_takes_the_place_of_a_calibration_only(of, tmp_path, capsys):
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "calibration.json").write_text('{"scanner": "polyscan"}')
    given = ["calibrate", "glioma_grading_classification", str(of / "prepared" / "manifest.json")]
    assert main([*given, "--weights", str(tmp_path / "model.pt")]) == 1
    assert "calibration.json is no calibration that polyscan wrote" in capsys.readouterr().err
    assert (tmp_path / "calibration.json").read_text() == '{"scanner": "polyscan"}'
