"""Ctrl-C, as a terminal sends it to a command and all of its processes, ends with a sentence and whole outputs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

from polyscan.bundle.run import train
from polyscan.cli import main
from polyscan.files.atomic import read_json, write_json
from polyscan.formats.nifti import read_nifti
from polyscan.study.manifest import read_manifest, write_manifest
from processes import start, until

BUNDLE = "sarcoma_ct_mr_pet_segmentation"
IGNORED = "KeyboardInterrupt: \n"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def manifest(make_ward, tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    make_ward(folder / "ward", 8)
    assert main(["scan", str(folder / "ward"), "-o", str(folder / "scans.json")]) == 0
    return folder / "scans.json"


@pytest.fixture(scope="module")
def prepared(manifest):
    folder = manifest.parent / "prepared"
    assert main(["prepare", str(manifest), "-o", str(folder), "--registered", "--jobs", "1"]) == 0
    return folder


def interrupted(arguments: list[str], when: Callable[[], object], log: Path) -> str:
    """What a command says that is interrupted once something is there; none of its processes is left.

    Python ignores an interrupt that comes while it finalises an object, and says so: whoever sees that presses again.
    """
    process, ignored = start(arguments, log), 0
    try:
        until(lambda: process.exitcode is not None or when())
        assert process.exitcode is None, log.read_text()
        while process.exitcode is None:
            os.killpg(process.pid, signal.SIGINT)
            until(partial(noticed, process, log, ignored))
            ignored += 1
        assert process.exitcode == 130, log.read_text()
        until(lambda: not session(process.pid), seconds=30)
    finally:
        if session(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    return log.read_text().rpartition(IGNORED)[2]


def noticed(process: BaseProcess, log: Path, ignored: int) -> bool:
    """Whether a command has ended, or ignored one interrupt more than so many."""
    return process.exitcode is not None or log.read_text().count(IGNORED) > ignored


def session(leader: int) -> list[str]:
    """The processes of a session that run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of, *_ = (entry / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if of == str(leader) and state != "Z":
            found.append(entry.name)
    return found


def test_preparing_keeps_the_studies_that_are_done(manifest, tmp_path, capfd):
    out = tmp_path / "prepared"
    arguments = ["prepare", str(manifest), "-o", str(out), "--registered", "--jobs", "2"]
    said = interrupted(arguments, lambda: any(out.glob("[!.]*/study.json")), tmp_path / "log")
    assert said.strip().endswith(
        f"polyscan prepare: interrupted; {out} keeps the studies that are done; give the same command again to go on."
    )
    assert "Traceback" not in said
    assert not list(out.rglob(".part-*"))
    done = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*/study.json")}
    assert main([*arguments[:-1], "1"]) == 0
    assert len(read_manifest(out / "manifest.json").studies) == 8
    assert {path: path.stat().st_mtime_ns for path in done} == done


def copies(file: Path, to: Path, count: int) -> Path:
    """A manifest of so many copies of the first study of one, more than are done before a command is interrupted."""
    found = read_manifest(file)
    study = found.studies[0]
    testing = [replace(study, subject=f"copy{number:03d}") for number in range(count)]
    write_manifest(to, replace(found, training=[], validation=[], testing=testing))
    return to


@pytest.mark.parametrize(
    ("given", "records"),
    [
        (["infer", BUNDLE, "{prepared}", "--set", "roi_size=[16,16,16]"], "[!.]*_study.json"),
        (["batch", BUNDLE, "{scans}", "--registered", "--no-pages", "--jobs", "1"], "records/[!.]*.json"),
    ],
    ids=["infer", "batch"],
)
def test_predicting_keeps_the_studies_that_are_done(given, records, manifest, prepared, tmp_path):
    out = tmp_path / "out"

    def arguments(count: int) -> list[str]:
        made_of = {"prepared": prepared / "manifest.json", "scans": manifest}
        files = {name: copies(file, tmp_path / f"{name}.json", count) for name, file in made_of.items()}
        return [*(word.format(**files) for word in given), "-o", str(out)]

    said = interrupted(arguments(200), lambda: any(out.glob(records)), tmp_path / "log")
    assert said.strip().endswith(
        f"{given[0]}: interrupted; {out} keeps the studies that are done; give the same command again to go on."
    )
    assert "Traceback" not in said
    assert not list(out.rglob(".part-*"))
    assert not (out / "manifest.json").exists()
    for mask in out.rglob("*.nii.gz"):
        assert read_nifti(mask).shape == (1, 16, 16, 16)
    done = {path: path.stat().st_mtime_ns for path in out.glob(records)}
    assert all(read_manifest(path).testing[0].prediction for path in done)
    assert main(arguments(len(done) + 1)) == 0
    assert len(read_manifest(out / "manifest.json").studies) == len(done) + 1
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_comparing_keeps_the_trainings_that_are_done(tmp_path):
    protocol, out = tmp_path / "protocol.json", tmp_path / "out"
    cohort = {"task": "interaction", "subjects": 60}
    write_json(protocol, {"cohort": cohort, "strategies": {}, "folds": 5, "seeds": 20, "epochs": 10})
    arguments = ["compare", str(protocol), "-o", str(out), "--jobs", "1"]
    said = interrupted(arguments, lambda: any((out / "cells").glob("[!.]*.json")), tmp_path / "log")
    assert said.strip().endswith(
        f"polyscan compare: interrupted; {out} keeps the trainings that are done; give the same command again to go on."
    )
    assert "Traceback" not in said
    assert not list(out.rglob(".part-*"))
    assert not (out / "compare.html").exists()
    assert all(read_json(cell)["probabilities"] for cell in (out / "cells").iterdir())


def test_training_goes_on_from_its_last_checkpoint(prepared, tmp_path):
    run = tmp_path / "run"
    arguments = ["train", BUNDLE, str(prepared / "manifest.json"), "-o", str(run), "--set", "roi_size=[16,16,16]"]
    arguments += ["--set", "max_epochs=1000", "--set", "val_interval=1"]
    said = interrupted(arguments, lambda: epoch(run) > 0, tmp_path / "log")
    assert said.strip().endswith(
        f"polyscan train: interrupted; {run} keeps what was trained until its last checkpoint; give the same "
        "command again to go on."
    )
    assert "Traceback" not in said
    assert not list(run.rglob(".part-*"))
    assert read_json(run / "run.json")["finished"] is False

    def tell(done, total, word):
        raise KeyboardInterrupt(done)

    before, options = epoch(run), {"roi_size": [16] * 3, "max_epochs": 1000, "val_interval": 1}
    with pytest.raises(KeyboardInterrupt) as first:
        train(BUNDLE, prepared / "manifest.json", run, overrides=options, progress=tell)
    assert first.value.args == (before + 1,)


def epoch(run: Path) -> int:
    """That the checkpoint of a run is of; 0 where there is none."""
    file = run / "checkpoint.pt"
    return torch.load(file, weights_only=True)["progress"]["epoch"] if file.is_file() else 0


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["scan", ".", "-o", "m.json"], "no manifest was written; give the same command again."),
        (["compare", "diagnosis", "-o", "c"], "c keeps the trainings that are done; give the same command again to go"),
        (["report", "out"], "every file that was written is whole; give the same command again."),
    ],
)
def test_each_command_says_what_it_keeps(arguments, kept, monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    module = __import__(f"polyscan.commands.{arguments[0]}", fromlist=["run"])
    monkeypatch.setattr(module, "run", interrupt)
    assert main(arguments) == 130
    assert f"polyscan {arguments[0]}: interrupted; {kept}" in capsys.readouterr().err
