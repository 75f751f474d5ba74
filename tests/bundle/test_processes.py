"""One training by several processes that torchrun starts, and the script by which SLURM starts torchrun."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from prepared import make_manifest
from test_run_folder import BUNDLE, SMALL

from polyscan.bundle.folds import train_folds
from polyscan.bundle.run import train
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.tables import rows_in
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from processes import FORKS, free_port, say_to

ADAM = {"_target_": "torch.optim.AdamW", "params": "$@trained.parameters()", "lr": "@learning_rate", "eps": 1e-4}
LOSS = {"_target_": "polyscan.learning.RegionLoss", "batch": False}
STILL = {**SMALL, "max_epochs": 1, "train#random_transforms": [], "loss": LOSS, "optimizer": ADAM}
"""Nothing is drawn at random, and the loss is a mean over studies."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Six studies: in three folds each step sees all that are trained on, in either way."""
    folder = tmp_path_factory.mktemp("studies")
    studies = [study for study in read_manifest(make_manifest(BUNDLE, folder / "cohort")).studies if study.label][:6]
    write_manifest(folder / "six.json", Manifest(training=studies))
    return folder / "six.json"


def together(folder: Path, function, *arguments, **options) -> list[str]:
    """Call a function in two processes that know of each other, as torchrun starts them; what each says."""
    port, logs = str(free_port()), [folder / f"rank{rank}.txt" for rank in range(2)]
    started = [
        FORKS.Process(target=_call, args=(rank, port, log, function, arguments, options))
        for rank, log in enumerate(logs)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [f"{process.exitcode} {log.read_text()}" for process, log in zip(started, logs, strict=True)]


def _call(rank, port, log, function, arguments, options):
    say_to(log)
    known = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "SLURM_JOB_ID": "1",
        "SLURM_LOCALID": "0",
    }
    os.environ.update(known | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
    function(*arguments, **options)


def test_two_processes_write_what_one_does(manifest, tmp_path):
    two = {**STILL, "batch_size": 2}
    said = together(tmp_path, train_folds, BUNDLE, manifest, tmp_path / "cv", 3, overrides=two, cache=tmp_path / "kept")
    assert [each[:2] for each in said] == ["0 ", "0 "], said
    assert len(list((tmp_path / "kept" / "studies").iterdir())) == 6
    one, fold = tmp_path / "one", tmp_path / "cv" / "fold0"
    train(BUNDLE, tmp_path / "cv" / "fold0.json", one, overrides={**STILL, "batch_size": 4})
    assert {path.name for path in fold.iterdir()} == {path.name for path in one.iterdir()}
    assert json.loads((fold / "run.json").read_text())["studies"] == {"trained_on": 4, "watched": 2}
    first, second = (torch.load(path / "last.pt", weights_only=True) for path in (one, fold))
    assert all(torch.allclose(first[n], second[n], rtol=1e-2, atol=1e-4) for n in first)
    losses = [rows_in(path / "training.csv")[0]["loss/supervised"] for path in (one, fold)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), abs=1e-4)
    with pytest.raises(PolyscanError, match=r"holds another training \(processes was 2, is None\)"):
        train(BUNDLE, tmp_path / "cv" / "fold0.json", fold, overrides=two)


def test_a_job_of_slurm_starts_the_same_training_on_each_machine(manifest, tmp_path, monkeypatch, capsys):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    given = ["train", str(BUNDLE), str(manifest), "-o", "run", "--folds", "3", "--missing", "ModalityDropout(prob=0.4)"]
    given += ["--set", "max_epochs=2", "--set", "regions={'a b': [1]}", "--cache", "kept", "--root", f"x={tmp_path}"]
    assert main([*given, "--job", "slurm:2x3"]) == 0
    script = tmp_path / "a b" / "run" / "job.sh"
    assert shlex.split(capsys.readouterr().out) == ["sbatch", str(script)]
    asked = [shlex.split(line) for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert {len(words) for words in asked} == {2}  # SLURM refuses a path that falls apart
    expected = {"--nodes=2", "--gpus-per-node=3", f"--chdir={Path.cwd()}", f"--output={script.parent}/logs/%j.txt"}
    assert expected | {"--requeue"} <= {words[1] for words in asked}
    for name, does in (("scontrol", "echo first; echo second"), ("srun", 'printf "%s\\n" "$@"')):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/bash\n{does}\n")
        tool.chmod(0o755)
    told = {
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "f[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "12",
    }
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", script], env=told | path, check=True, capture_output=True, text=True)
    words = ran.stdout.splitlines()
    assert {"--nnodes=2", "--nproc_per_node=3", "--rdzv_endpoint=first:20042"} <= set(words)
    assert words[words.index("polyscan") + 1 :] == given
    assert main([*given, "--job", "slurm:2", "--restart"]) == 1
    assert "leave --restart away" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--job", "slurm:0"])
    assert "is no job such as slurm:2x4" in capsys.readouterr().err
