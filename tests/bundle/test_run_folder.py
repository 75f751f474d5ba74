"""One training is one folder: killed and resumed, told apart from another, and replaced only when asked."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from prepared import BUNDLES, make_manifest

from polyscan.bundle.run import train
from polyscan.errors import PolyscanError

BUNDLE = BUNDLES / "brain_mri_tumour_segmentation"
TIMES = ("seconds", "studies_per_second", "waited")
SMALL = {
    "max_epochs": 3,
    "val_interval": 2,
    "roi_size": [16, 16, 16],
    "fuse_at": [0, 1],
    "network_def#encoder#channels": [4, 8],
    "network_def#head#width": [4],
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_manifest(BUNDLE, tmp_path_factory.mktemp("studies") / "cohort")


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert train(BUNDLE, manifest, folder, overrides=SMALL) == folder / "model.pt"
    return folder


def killed(manifest: Path, folder: Path, epoch: int) -> None:
    """Train in a process that is killed when an epoch ends."""

    def die(done, total, remark):
        if done == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(
        target=train, args=(BUNDLE, manifest, folder), kwargs={"overrides": SMALL, "progress": die}
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_killed_run_goes_on_to_the_same_weights(manifest, whole, tmp_path):
    killed(manifest, tmp_path / "run", epoch=2)
    assert not json.loads((tmp_path / "run" / "run.json").read_text())["finished"]
    seen = []
    train(BUNDLE, manifest, tmp_path / "run", overrides=SMALL, progress=lambda done, *_: seen.append(done))
    assert seen == [3]
    for name in ("model.pt", "last.pt"):
        first, second = (torch.load(f / name, weights_only=True) for f in (whole, tmp_path / "run"))
        assert all(torch.equal(first[key], second[key]) for key in first)
    table = [
        [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader((f / "training.csv").open())]
        for f in (whole, tmp_path / "run")
    ]
    assert table[0] == table[1]


def test_the_folder_tells_the_run(whole):
    held = {path.name for path in whole.iterdir()}
    assert held >= {"model.pt", "last.pt", "checkpoint.pt", "training.csv", "training.png", "tensorboard"}
    record = json.loads((whole / "run.json").read_text())
    assert record["finished"]
    assert record["data"]["studies"] == 7
    assert record["studies"] == {"trained_on": 3, "watched": 2}
    assert record["versions"]["torch"] == torch.__version__
    config = json.loads((whole / "config.json").read_text())
    assert config["roi_size"] == [16, 16, 16]
    assert str(whole.parent) not in (whole / "config.json").read_text(), "a config can be given away"


def test_a_finished_run_is_not_run_again_and_another_is_refused(manifest, whole):
    before = (whole / "model.pt").stat().st_mtime_ns
    train(BUNDLE, manifest, whole, overrides=SMALL)
    assert (whole / "model.pt").stat().st_mtime_ns == before
    with pytest.raises(PolyscanError, match=r"another training \(max_epochs was 3, is 4\); name another folder"):
        train(BUNDLE, manifest, whole, overrides={**SMALL, "max_epochs": 4})
    assert (whole / "model.pt").stat().st_mtime_ns == before


def test_other_data_are_another_training_which_is_replaced_when_asked(manifest, whole, tmp_path):
    folder = tmp_path / "run"
    killed(manifest, folder, epoch=1)
    fewer = json.loads(manifest.read_text())
    del fewer["testing"][0]
    other = manifest.with_name("fewer.json")
    other.write_text(json.dumps(fewer))
    with pytest.raises(PolyscanError, match="its data have changed"):
        train(BUNDLE, other, folder, overrides=SMALL)
    train(BUNDLE, other, folder, overrides={**SMALL, "max_epochs": 1}, restart=True)
    assert json.loads((folder / "run.json").read_text())["data"]["studies"] == 6
    assert len(list(csv.DictReader((folder / "training.csv").open()))) == 1
