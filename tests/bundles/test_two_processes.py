"""Two processes learn what one learns from batches twice as large."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from commands import monai_in_processes
from monai.bundle import ConfigParser
from prepared import BUNDLES, make_manifest, read_config, small_window

from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = BUNDLES / "brain_mri_tumour_segmentation"
EPOCHS = 3
WITH_AUXILIARY_LOSS = {"_target_": "polyscan.fusion.SharedSpecific"}
CONTRASTIVE = {"_target_": "polyscan.objectives.Contrastive", "network": "@network"}
"""Whose studies are compared with those of the other process too."""


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Four studies to train on, so that each step sees all of them in either way."""
    studies = [study for study in read_manifest(make_manifest(BUNDLE, tmp_path / "cohort")).studies if study.label][:6]
    write_manifest(tmp_path / "four.json", Manifest(training=studies[:4], validation=studies[4:]))
    return tmp_path / "four.json"


def losses(
    manifest: Path, out: Path, processes: int, layer: dict[str, object], objectives: list[dict[str, object]]
) -> dict[int, float]:
    """Epoch to the mean loss over processes; nothing is drawn at random, and the loss is a mean over studies."""
    options = {
        "manifest": str(manifest),
        "output_dir": str(out),
        **small_window(BUNDLE),
        "max_epochs": EPOCHS,
        "val_interval": EPOCHS,
        "batch_size": 4 // processes,
        "loss#batch": False,
        "optimizer#eps": 1e-4,  # else a gradient that is rounding alone makes a step as large as any
        "train#random_transforms": read_config(BUNDLE, "train")["train"]["random_transforms"][:2],
        "fusion": {**layer, "_mode_": "callable"},
        "objectives": objectives,
        "train#reports#0#iteration_log": True,
        "train#trainer#train_handlers": "$@train#handlers + @train#reports[:1]",
    }
    out.mkdir()
    (out / "options.json").write_text(json.dumps(options))
    configs = ["configs/train.json", *["configs/multi_gpu_train.json"] * (processes > 1), str(out / "options.json")]
    said = "".join(monai_in_processes(processes, "run", "--config_file", configs, cwd=BUNDLE))
    found = defaultdict(list)
    for epoch, loss in re.findall(r"Epoch: (\d+)/\d+, Iter: \d+/\d+ -- train_loss: ([\d.]+)", said):
        found[int(epoch)].append(float(loss))
    assert {len(each) for each in found.values()} == {processes}, said[-3000:]
    return {epoch: sum(each) / processes for epoch, each in found.items()}


@pytest.mark.parametrize(
    ("layer", "objectives"),
    [({"_target_": "polyscan.fusion.AttentionWeighted"}, [CONTRASTIVE]), (WITH_AUXILIARY_LOSS, [])],
)
def test_the_loss_curve_is_that_of_the_doubled_batch(manifest, tmp_path, layer, objectives):
    one, two = (losses(manifest, tmp_path / name, n, layer, objectives) for name, n in (("one", 1), ("two", 2)))
    assert list(one) == list(range(1, EPOCHS + 1))
    assert one == pytest.approx(two, abs=2e-4)
    assert one[EPOCHS] < one[1]
    first, second = (logits(tmp_path / name / "model.pt", layer) for name in ("one", "two"))
    # Weights that no output depends on drift by rounding, as a bias before a norm; a sign in ShaSpec's L1 turns by it.
    assert (first - second).abs().mean() / first.std() < 0.005


def logits(weights: Path, layer: dict[str, object]) -> torch.Tensor:
    """What a network with these weights makes of one image."""
    parser = ConfigParser(read_config(BUNDLE, "inference"))
    parser["fusion"] = {**layer, "_mode_": "callable"}
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad():
        return network(torch.randn(1, 4, 32, 32, 32, generator=torch.Generator().manual_seed(0)))
