"""Each bundle is one that MONAI accepts and runs, and polyscan's short commands do the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import monai
from monai.bundle import ConfigParser, ConfigWorkflow
from prepared import make, read_config

from polyscan.bundle.run import infer
from polyscan.errors import PolyscanError

SCHEMA = Path(__file__).with_name("metadata_schema.json")


def test_metadata_is_valid(bundle, tmp_path):
    monai("verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", SCHEMA, cwd=bundle)
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]
    formats = metadata["network_data_format"]
    for config in ("train", "inference"):
        content = read_config(bundle, config)
        assert list(dict.fromkeys(formats["inputs"]["image"]["channel_def"].values())) == content["modalities"]
        answers = [f"{task} {c}" for task, classes in content.get("tasks", {}).items() for c in classes]
        answers = (
            answers
            or list(content.get("regions", {}))
            or ConfigParser(content).get_parsed_content("network_def").outputs
        )
        assert list(formats["outputs"]["pred"]["channel_def"].values()) == answers


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
    own = make.read(bundle.name).get("inference", {})  # as a table that training reads for an objective alone
    for name in shared - {"imports", "groups", *own}:
        assert str(configs[0][name]) == str(configs[1][name]), name


def test_configs_are_what_the_parts_say(bundle):
    """``python bundles/make.py`` was run after the last change of a part."""
    for name, content in make.configs(bundle.name).items():
        assert (bundle / "configs" / f"{name}.json").read_text() == make.as_text(content), name
    assert (bundle / "configs" / "logging.conf").read_text() == (make.PARTS / "logging.conf").read_text()
    assert (bundle / "LICENSE").read_text() == (make.BUNDLES.parent / "LICENSE").read_text()


def test_parts_repeat_no_transform(bundle):
    """A bundle changes a group, and names the others."""

    def transforms(value) -> set[str]:
        if isinstance(value, list):
            own = {json.dumps(each) for each in value if isinstance(each, dict) and "_target_" in each}
            return own.union(*map(transforms, value))
        return set().union(*map(transforms, value.values())) if isinstance(value, dict) else set()

    part = make.read(bundle.name)
    for common in ("every", part["kind"]):
        for section in ("shared", "train", "inference"):
            assert not transforms(part.get(section, {})) & transforms(make.read(common).get(section, {}))


def test_groups_stand_for_their_entries():
    groups = {"load": [{"_group_": "scans", "absent": "@absent"}, {"_target_": "b"}], "scans": [{"_target_": "a"}]}
    content = {"transforms": [{"_group_": "load"}, "@others"], "kept": {"_target_": "c"}}
    loaded = [{"_target_": "a", "absent": "@absent"}, {"_target_": "b"}]
    assert make.expand(content, groups) == {"transforms": [*loaded, "@others"], "kept": {"_target_": "c"}}
    with pytest.raises(ValueError, match="a list names the group laod; there are load, scans"):
        make.expand([{"_group_": "laod"}], groups)
    assert make.label_names({"lesion": [1], "node": [2]}) == {1: "lesion", 2: "node"}
    with pytest.raises(ValueError, match="share values"):
        make.label_names({"whole": [1, 2], "core": [2]})


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"trian": {}}, "own.json has the section trian; expected some of kind, shared, train, "),
        ({"shared": {"groups": {"laod": []}}}, "own.json has the group laod, which no list names: load"),
        ({"train": {"max_epoch": 5}}, "own.json has the entry max_epoch under train, to which nothing refers"),
    ],
)
def test_what_a_part_says_and_nothing_reads_is_refused(own, sentence):
    common = {"shared": {"groups": {"load": []}}, "train": {"max_epochs": 3, "transforms": [{"_group_": "load"}]}}
    good = {"kind": "none", "shared": {"groups": {"load": [{}]}, "rate": 1}, "train": {"max_epochs": 5, "lr": "@rate"}}
    written = {"train": {"max_epochs": 5, "lr": "@rate", "optimizer": {"lr": "@lr"}}}
    make.check("own.json", good, [common], written)
    with pytest.raises(ValueError, match=sentence):
        make.check("own.json", good | own, [common], written)


@pytest.mark.parametrize("part", [{}, {"kind": "segmentaton"}])
def test_a_part_of_no_kind_is_refused(part, monkeypatch):
    monkeypatch.setitem(make.configs.__globals__, "read", lambda name: part)
    with pytest.raises(ValueError, match=r"own.json is of the kind .*; expected one of segmentation, classification"):
        make.configs("own")


def test_shipped_weights(bundle):
    file = bundle / "models" / "model.pt"
    assert file.stat().st_size < 8_000_000
    weights = torch.load(file, weights_only=True)
    assert all(value.isfinite().all() for value in weights.values())
    parser = ConfigParser(read_config(bundle, "inference"))
    parser.get_parsed_content("network_def").load_state_dict(weights)


def test_training_of_any_length_has_a_learning_rate(bundle):
    """A warm-up of one step alone is a division by zero in OneCycleLR."""
    schedule = read_config(bundle, "train")["lr_scheduler"]
    for steps in range(1, 31):
        parser = ConfigParser(
            {"max_epochs": steps, "train": {"dataloader": [0]}, "learning_rate": 1e-3, "warm_up": 0.1}
        )
        parser["optimizer"] = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        parser["lr_scheduler"] = schedule
        scheduler = parser.get_parsed_content("lr_scheduler")
        for _ in range(steps - 1):
            scheduler.step()
        assert 0 < scheduler.get_last_lr()[0] <= 1e-3 + 1e-9


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
    unoptimised = ("--converter_kwargs", "{'optimize': False}")  # which takes most of the time and is onnxscript's part
    commands = [("ckpt_export", "net.ts", ()), ("onnx_export", "net.onnx", unoptimised)]
    # What the others' networks answer as ONNX is tried in tests/networks/test_export.py.
    for command, name, options in commands[: 2 if bundle.name.startswith("brain") else 1]:
        where = ("--filepath", tmp_path / name, "--ckpt_file", "models/model.pt")
        monai(command, "network_def", *where, *files, *options, cwd=bundle)
        assert (tmp_path / name).stat().st_size > 100_000
    config = read_config(bundle, "inference")
    channels = json.loads((bundle / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    image = torch.randn(1, channels["num_channels"], *config.get("roi_size", channels["spatial_shape"]))
    image[:, 0] = torch.nan
    assert torch.jit.load(tmp_path / "net.ts")(image).isfinite().all()
