"""Each bundle is one that MONAI accepts and runs, and polyscan's short commands do the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from prepared import make, read_config

from polyscan.errors import PolyscanError
from polyscan.io.manifest import read_manifest
from polyscan.workflows.bundle import infer, train

SCHEMA = Path(__file__).with_name("metadata_schema.json")
QUICK = {"max_epochs": 1, "val_interval": 1}


def is_classification(bundle: Path) -> bool:
    return make.read(bundle.name)["kind"] == "classification"


def monai(*arguments: object, cwd: Path) -> str:
    """Run MONAI's own command line inside a bundle."""
    return run(sys.executable, "-m", "monai.bundle", *arguments, cwd=cwd)


def run(*arguments: object, cwd: Path) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(a) for a in arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def test_metadata_is_valid(bundle, tmp_path):
    monai("verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", SCHEMA, cwd=bundle)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    formats = metadata["network_data_format"]
    for config in ("train", "inference"):
        content = read_config(bundle, config)
        assert list(dict.fromkeys(formats["inputs"]["image"]["channel_def"].values())) == content["modalities"]
        answers = [f"{task} {c}" for task, classes in content.get("tasks", {}).items() for c in classes]
        assert list(formats["outputs"]["pred"]["channel_def"].values()) == answers or list(content["regions"])


def test_network_takes_and_gives_what_the_metadata_says(bundle):
    files = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
    assert "data shape of network is verified" in monai(
        "verify_net_in_out", "--net_id", "network_def", *files, cwd=bundle
    )


@pytest.mark.parametrize("kind", ["train", "inference"])
def test_has_every_property_that_monai_asks_for(bundle, manifest, tmp_path, kind):
    workflow = ConfigWorkflow(str(bundle / "configs" / f"{kind}.json"), workflow_type=kind, logging_file=False)
    workflow.parser.update({"bundle_root": str(bundle), "manifest": str(manifest), "output_dir": str(tmp_path)})
    workflow.initialize()
    assert not workflow.check_properties()


def test_train_and_inference_agree_on_what_they_share(bundle):
    shared = {
        name for part in ("every", make.read(bundle.name)["kind"], bundle.name) for name in make.read(part)["shared"]
    }
    configs = [read_config(bundle, name) for name in ("train", "inference")]
    assert {"modalities", "network_def", "fusion"} <= shared
    for name in shared - {"imports"}:
        assert str(configs[0][name]) == str(configs[1][name]), name


def test_configs_are_what_the_parts_say(bundle):
    """``python bundles/make.py`` was run after the last change of a part."""
    for name, content in make.configs(bundle.name).items():
        assert (bundle / "configs" / f"{name}.json").read_text() == make.as_text(content), name
    assert (bundle / "configs" / "logging.conf").read_text() == (make.PARTS / "logging.conf").read_text()
    assert (bundle / "LICENSE").read_text() == (make.BUNDLES.parent / "LICENSE").read_text()


def test_shipped_weights(bundle):
    file = bundle / "models" / "model.pt"
    assert file.stat().st_size < 8_000_000
    weights = torch.load(file, weights_only=True)
    assert all(value.isfinite().all() for value in weights.values())
    parser = ConfigParser(read_config(bundle, "inference"))
    parser.get_parsed_content("network_def").load_state_dict(weights)


def test_the_whole_life_through_monai(bundle, manifest, tmp_path):
    """Train, evaluate and infer as a MONAI user does; polyscan infer gives the same masks."""
    paths = ("--manifest", manifest, "--output_dir", tmp_path / "run")
    quick = [word for name, value in QUICK.items() for word in (f"--{name}", value)]
    monai("run", "--config_file", "configs/train.json", *paths, *quick, cwd=bundle)
    weights = tmp_path / "run" / "model.pt"
    overlay = "['configs/train.json','configs/evaluate.json']"
    said = monai("run", "--config_file", overlay, *paths, "--weights", weights, cwd=bundle)
    assert ("val_auroc" if is_classification(bundle) else "val_dice") in said
    assert (tmp_path / "run" / "metrics.csv").exists()
    answer = ("--config_file", "configs/inference.json", "--weights", weights)
    monai("run", *answer, "--manifest", manifest, "--output_dir", tmp_path / "out", cwd=bundle)
    infer(bundle, manifest, tmp_path / "short", weights=weights)
    long, short = (read_manifest(tmp_path / name / "manifest.json") for name in ("out", "short"))
    assert [s.key for s in long.studies] == ["sub-5", "sub-6"]
    for a, b in zip(long.studies, short.studies, strict=True):
        (check_answers if is_classification(bundle) else check_masks)(a, b)


def check_masks(a, b):
    first, second = (nibabel.load(s.extra["prediction"]) for s in (a, b))
    np.testing.assert_array_equal(first.get_fdata(), second.get_fdata())
    scan = nibabel.load(next(iter(a.images.values())))
    assert first.shape == scan.shape
    np.testing.assert_allclose(first.affine, scan.affine)
    assert all(score["true_ml"] > 0 for score in a.extra["scores"].values())
    assert bool(a.extra["scores"]) == (a.key == "sub-6")


def check_answers(a, b):
    assert json.loads(Path(a.extra["prediction"]).read_text())["answers"] == a.extra["answers"]
    for task, answer in a.extra["answers"].items():
        assert answer["probabilities"] == pytest.approx(b.extra["answers"][task]["probabilities"], abs=1e-3)
        assert answer["contributions"] == pytest.approx(b.extra["answers"][task]["contributions"], abs=1e-3)
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert 0 <= answer["uncertainty"] <= 1
        assert set(answer["contributions"]) >= set(a.images)
        assert ("truth" in answer) == (a.key == "sub-6")


def test_two_processes_train_together(bundle, manifest, tmp_path):
    configs = "['configs/train.json','configs/multi_gpu_train.json']"
    run(
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"),
        *("run", "--config_file", configs, "--manifest", manifest, "--output_dir", tmp_path / "run"),
        *("--max_epochs", 1, "--val_interval", 2),
        cwd=bundle,
    )
    assert torch.load(tmp_path / "run" / "model.pt", weights_only=True)


def test_any_subset_and_any_fusion(bundle, manifest, tmp_path):
    """A fusion layer and a place are swapped by an option; a study that fails does not stop the other."""
    mean = {"fusion": {"_target_": "polyscan.fusion.Mean", "_mode_": "callable"}}
    weights = train(bundle, manifest, tmp_path / "run", overrides={**QUICK, **mean})
    first = json.loads((bundle / "configs" / "inference.json").read_text())["modalities"]
    result = infer(bundle, manifest, tmp_path / "out", weights=weights, absent=first[1:], overrides=mean)
    assert [s.key for s in result.studies] == ["sub-5"]
    assert result.studies[0].extra["present"] == first[:1]
    assert result.info["failed"][0]["study"] == "sub-6"
    assert f"expected at least one of {first[0]}" in result.info["failed"][0]["reason"]


def test_what_cannot_be_used_is_said(bundle, manifest, tmp_path):
    with pytest.raises(PolyscanError, match="no entry 'max_epoch'"):
        train(bundle, manifest, tmp_path, overrides={"max_epoch": 3})
    with pytest.raises(PolyscanError, match="is no bundle"):
        train(tmp_path, manifest, tmp_path)
    with pytest.raises(PolyscanError, match="do not exist"):
        infer(bundle, manifest, tmp_path, weights=tmp_path / "none.pt")
    with pytest.raises(PolyscanError, match="does not exist"):
        infer(bundle, tmp_path / "none.json", tmp_path)
    other = {"fusion": {"_target_": "polyscan.fusion.MaskedTransformer", "_mode_": "callable"}}
    with pytest.raises(PolyscanError, match=r"entries differ; give the same --set options"):
        infer(bundle, manifest, tmp_path, overrides=other)
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(PolyscanError, match="cannot be read as weights"):
        infer(bundle, manifest, tmp_path, weights=tmp_path / "bad.pt")


def test_channels_that_the_metadata_name_otherwise_are_refused(bundle, manifest, tmp_path):
    copy = tmp_path / bundle.name
    shutil.copytree(bundle, copy)
    file = copy / "configs" / "metadata.json"
    metadata = json.loads(file.read_text())
    channels = metadata["network_data_format"]["inputs"]["image"]["channel_def"]
    last = str(len(channels) - 1)
    channels["0"], channels[last] = channels[last], channels["0"]
    file.write_text(json.dumps(metadata))
    with pytest.raises(PolyscanError, match="made for one order only"):
        infer(copy, manifest, tmp_path / "out")
    file.unlink()
    with pytest.raises(PolyscanError, match="does not say which modality each channel is"):
        infer(copy, manifest, tmp_path / "out")


def test_monai_exports_it(bundle, tmp_path):
    files = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
    for command, name in (("ckpt_export", "net.ts"), ("onnx_export", "net.onnx")):
        where = ("--filepath", tmp_path / name, "--ckpt_file", "models/model.pt")
        monai(command, "network_def", *where, *files, cwd=bundle)
        assert (tmp_path / name).stat().st_size > 100_000
    config = read_config(bundle, "inference")
    channels = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    image = torch.randn(1, channels["num_channels"], *config["roi_size"])
    image[:, 0] = torch.nan
    assert torch.jit.load(tmp_path / "net.ts")(image).isfinite().all()
