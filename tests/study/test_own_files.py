"""What somebody puts into an output, or changes there, stays, whichever command makes it anew or removes it."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from polyscan.cli import main
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study import PredictionRecord
from polyscan.study.manifest import read_manifest, write_manifest

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
SMALL = "--set roi_size=[16,16,16]"
COMMAND_LINES = {  # as it is given first, with two studies, and with one of them and other settings; -o is put behind
    "prepare": ("prepare {of}/two.json --jobs 1 --registered", "prepare {of}/one.json --jobs 1"),
    "infer": (
        f"infer {BUNDLE} {{of}}/prepared/two.json {SMALL} --keep-features --attribution gradcam",
        f"infer {BUNDLE} {{of}}/prepared/one.json {SMALL} --without T1 --attribution gradcam",
    ),
    "batch": (
        f"batch {BUNDLE} {{of}}/two.json --jobs 1 --registered --keep-features",
        f"batch {BUNDLE} {{of}}/one.json --jobs 1 --no-pages",
    ),
    "train": (
        f"train {BUNDLE} {{of}}/prepared/manifest.json {SMALL} --set max_epochs=1 --fold all",
        f"train {BUNDLE} {{of}}/prepared/manifest.json {SMALL} --set max_epochs=2 --fold all --restart",
    ),
    "translate": (
        "translate {of}/prepared/unpaired.json --between CT T1 --window 16 16 --channels 2 --steps 1",
        "translate {of}/prepared/unpaired0.json --between CT T1 --window 16 16 --channels 2 --steps 2",
    ),
    "report": ("report {of}/answers --jobs 1", "report {of}/answers1 --jobs 1"),
    "picture": ("picture {of}/answers --overlay CT T1", "picture {of}/answers1 --checkerboard CT T1"),
    "native": ("native {of}/answers", "native {of}/answers1"),
    "features": (
        f"features {BUNDLE} {{of}}/prepared/five.json --set spacing=[1,1,1]",
        f"features {BUNDLE} {{of}}/prepared/six.json --set spacing=[1,1,1]",
    ),
    "advise": ("advise {of}/prepared/two.json --target mask", "advise {of}/prepared/five.json --target mask"),
    "course": ("course {of}/volumes.csv", "course {of}/volumes.csv --horizon 30"),
    "compare": ("compare {of}/protocol.json --jobs 1", "compare {of}/protocol.json --jobs 1"),
    "scan": ("scan {of}/ward", "scan {of}/ward --join-sessions --pet-units SUV"),
    "plan": (
        f"plan {BUNDLE} {{of}}/prepared/manifest.json --memory 2",
        f"plan {BUNDLE} {{of}}/prepared/manifest.json --memory 1",
    ),
    "methods": ("methods {of}/prepared", "methods {of}/prepared"),
    "label-app": ("label-app", "label-app"),
}
FILES = {"report": "report.html", "scan": "manifest.json", "plan": "plan.json", "methods": "methods.md"}
"""What ``-o`` names of commands that write a file."""
STATE = (
    "records/*",
    "*_study.json",
    "locks/*",
    "*.sqlite",
    "*.lock",
    "studies.json",
    "sources.json",
    "features/*/*.pt",
    "cells/*",
    "tensorboard/*",
)
"""What commands note for themselves, and nobody edits."""
REMOVE_FOLDERS = {  # of their own making, and never one that a user is told of
    "files/atomic.py",  # parts
    "study/outputs.py",  # where nothing but the marker is left
    "batch/folder.py",  # where a new one cannot be filled
    "label_app/service.py",  # below .polyscan
    "label_app/training.py",
    "label_app/routes.py",  # uploads
}


@pytest.fixture(scope="module")
def of(make_ward, tmp_path_factory):
    """Manifests of two studies and of one of them: found, prepared, answered."""
    folder = tmp_path_factory.mktemp("own")
    make_ward(folder / "ward", 2)
    assert main(["scan", str(folder / "ward"), "-o", str(folder / "two.json")]) == 0
    prepared = folder / "prepared"
    assert main(["prepare", str(folder / "two.json"), "--registered", "--jobs", "1", "-o", str(prepared)]) == 0
    found, ready = read_manifest(folder / "two.json"), read_manifest(prepared / "manifest.json")
    write_manifest(folder / "one.json", found.map(lambda study: study if "0" in study.key else None))
    for name, studies in (("two", ready.studies), ("one", ready.studies[:1])):
        write_manifest(prepared / f"{name}.json", replace(ready, training=[], validation=[], testing=studies))
    for name, studies in (("answers", ready.studies), ("answers1", ready.studies[:1])):
        answered = [replace(s, prediction=PredictionRecord(path=s.label.mask, present=list(s.scans))) for s in studies]
        (folder / name).mkdir()
        write_manifest(folder / name / "manifest.json", replace(ready, training=[], testing=answered))
    copies = [replace(study, subject=f"{study.subject}copy{n}") for n in range(3) for study in ready.studies]
    for name, count in (("five", 5), ("six", 6)):
        write_manifest(prepared / f"{name}.json", replace(ready, training=[], validation=[], testing=copies[:count]))
    single = [("patient0a", "CT"), ("patient0b", "CT"), ("patient0c", "T1"), ("patient0d", "T1"), ("patient1", "T1")]
    one, scans = ready.studies[0], ready.studies[0].scans
    unpaired = [replace(one, subject=subject, scans={name: scans[name]}) for subject, name in single]
    for name, count in (("unpaired", 5), ("unpaired0", 4)):
        write_manifest(prepared / f"{name}.json", replace(ready, training=unpaired[:count], validation=[], testing=[]))
    table = [f"{n},{day},{(1 + n % 5) * 1.01**day:.3f}" for n in range(30) for day in (0, 30, 60, 90)]
    (folder / "volumes.csv").write_text("\n".join(["subject,day,volume_ml", *table]))
    cohort = {"task": "interaction", "subjects": 40}
    (folder / "protocol.json").write_text(
        json.dumps({"cohort": cohort, "strategies": {}, "folds": 2, "seeds": 1, "epochs": 1})
    )
    return folder


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_what_is_somebodys_own_stays(of, command, tmp_path):
    first, second = (line.format(of=of).split() for line in COMMAND_LINES[command])
    output = tmp_path / "out" / FILES.get(command, "")
    (tmp_path / "out").mkdir()
    dash_o = [] if command == "label-app" else ["-o"]
    assert main([*first, *dash_o, str(output)]) == 0
    edited = {}
    for path in (tmp_path / "out").rglob("[!.]*"):
        if path.is_file() and not any(path.match(pattern) for pattern in STATE):
            with path.open("ab") as file:  # which leaves JSON and volumes what they are
                file.write(gzip.compress(b"") if path.suffix == ".gz" else b"\n")
            edited[path] = path.read_bytes()
    assert edited
    mine = []
    for folder in [tmp_path / "out", *(path for path in (tmp_path / "out").rglob("*") if path.is_dir())]:
        for name in ("notes.txt", "sub-patient1_corrected.nii.gz", "sub-patient1_pred_corrected.nii.gz"):
            (folder / name).write_text("mine")
            mine.append(folder / name)
    assert main([*second, *dash_o, str(output)]) == 0
    assert all(path.read_text() == "mine" for path in mine)
    now = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    lost = [path.name for path, content in edited.items() if content not in now.values()]
    assert lost == []
    left = [path.name for path in now if path.name.startswith("sub-patient1") and "corrected" not in path.name]
    assert command == "train" or [name for name in left if not name.endswith(".lock")] == []


def test_a_mask_that_was_corrected_makes_way_for_another_one_only(of, tmp_path, capsys):
    """A mask on the scan's own grid of the same prediction is what it was."""
    out = tmp_path / "native"
    assert main(["native", str(of / "answers"), "-o", str(out)]) == 0
    mask = out / "sub-patient0_space-T1_dseg.nii.gz"
    mask.write_bytes(b"corrected")
    assert main(["native", str(of / "answers"), "-o", str(out)]) == 0
    assert mask.read_bytes() == b"corrected"
    assert capsys.readouterr().err.count("corrected") == 0
    answers = read_manifest(of / "answers" / "manifest.json")
    for study in answers.studies:
        nothing = read_nifti(study.prediction.path) * 0
        study.prediction.path = str(tmp_path / "others" / f"{study.key}.nii.gz")
        write_nifti(study.prediction.path, nothing)
    write_manifest(tmp_path / "others" / "manifest.json", answers)
    assert main(["native", str(tmp_path / "others"), "-o", str(out)]) == 0
    said = f"{mask.name} was changed since polyscan wrote it, or was not written by polyscan; it is kept as"
    assert f"{said} sub-patient0_space-T1_dseg_corrected.nii.gz" in capsys.readouterr().err
    assert (out / "sub-patient0_space-T1_dseg_corrected.nii.gz").read_bytes() == b"corrected"
    assert mask.read_bytes() != b"corrected"


@pytest.mark.parametrize("command", ["infer", "batch"])
def test_an_answer_that_was_corrected_in_its_place_is_kept_beside(of, command, tmp_path, capsys):
    """Also that of a study which the second run no longer has."""
    first, second = (line.format(of=of).split() for line in COMMAND_LINES[command])
    out, answers = tmp_path / "out", tmp_path / "out" / ("" if command == "infer" else "predictions")
    assert main([*first, "-o", str(out)]) == 0
    for number in (0, 1):
        (answers / f"sub-patient{number}_pred.nii.gz").write_bytes(b"corrected")
    assert main([*first, "-o", str(out)]) == 0  # as it is, since nothing changed that it was made from
    assert main([*second, *(["--probabilities"] if command == "batch" else []), "-o", str(out)]) == 0
    assert sorted(path.name for path in answers.glob("*_pred*")) == [
        "sub-patient0_pred.nii.gz",
        "sub-patient0_pred_corrected.nii.gz",
        "sub-patient1_pred_corrected.nii.gz",
    ]
    assert all(path.read_bytes() == b"corrected" for path in answers.glob("*_corrected*"))
    assert (answers / "sub-patient0_pred.nii.gz").read_bytes() != b"corrected"
    assert "it is kept as sub-patient0_pred_corrected.nii.gz." in capsys.readouterr().err


def test_an_answer_is_made_anew_where_a_report_of_it_lies(of, tmp_path):
    first, second = (line.format(of=of).split() for line in COMMAND_LINES["infer"])
    out = tmp_path / "out"
    assert main([*first, "-o", str(out)]) == 0
    assert main(["report", str(out), "--jobs", "1"]) == 0
    (out / "report" / "notes.txt").write_text("mine")
    assert main([*second, "-o", str(out)]) == 0
    assert not (out / "report.html").exists()
    assert [path.name for path in (out / "report").iterdir()] == ["notes.txt"]
    assert main(["report", str(out), "--jobs", "1", "-o", str(tmp_path / "page.html")]) == 0


def test_whole_folders_are_removed_nowhere_else():
    source = Path(main.__code__.co_filename).parent
    found = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if re.search(r"rmtree|removedirs", path.read_text(encoding="utf-8"))
    }
    assert found <= REMOVE_FOLDERS
