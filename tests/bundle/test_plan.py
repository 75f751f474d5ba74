"""A plan follows the data and the memory; weights carry what their network was built with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from prepared import BUNDLES, make_manifest

from polyscan.bundle.carried import carried_settings, settings_of
from polyscan.bundle.config import read_config
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.plan import LADDER, _network, make_plan
from polyscan.bundle.run import infer, train
from polyscan.bundle.weights import read_weights
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.learning.memory import bytes_kept

BRAIN, GLIOMA = (BUNDLES / name for name in ("brain_mri_tumour_segmentation", "glioma_grading_classification"))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_manifest(BRAIN, tmp_path_factory.mktemp("studies") / "cohort")


@pytest.fixture
def one_pass(monkeypatch):
    """What a step keeps, told instead of measured: 1 GB a million voxels and filter."""

    def kept(network, image):
        return 1e3 * image[0, 0].numel() * network.fused_channels[0]

    monkeypatch.setattr("polyscan.learning.memory.bytes_kept", kept)


def test_what_autograd_keeps_is_counted():
    """Of y = sigmoid(w x): x for the product and y for the sigmoid, not the weight."""
    net = torch.nn.Sequential(torch.nn.Linear(8, 4, bias=False), torch.nn.Sigmoid())
    assert bytes_kept(net, torch.zeros(5, 8)) == 4 * (5 * 8 + 5 * 4)


@pytest.mark.parametrize(("memory", "filters"), [(1000, 32), (0.36, 16), (0.15, 8)])
def test_the_network_fits_the_memory_and_the_data(manifest, one_pass, memory, filters):
    plan = make_plan(BRAIN, manifest, memory=memory)
    assert plan["shared"]["spacing"] == [4, 4, 4]
    assert plan["shared"]["roi_size"] == [20, 24, 20]
    assert plan["shared"]["network_def#encoder"]["init_filters"] == filters
    assert plan["shared"]["network_def#head#width"] == [filters, filters * 2]
    assert plan["train"]["batch_size"] * plan["train"]["accumulation_steps"] == 2
    assert plan["about"]["data"]["measured"]["T1"] == 5
    whole = plan["about"]["data"]["regions"]["whole tumour"]
    assert whole == {"part_of_voxels": pytest.approx(0.125), "studies": 5}


def test_encoders_share_the_channels_of_one_nnu_net():
    """Five levels of four encoders: 32 to 160 channels, and fewer weights than nnU-Net's ResEnc M (102 million)."""
    config = read_config(BRAIN, "train", {})
    changes = _network(config, LADDER[0], np.array([155.0, 240.0, 240.0]))
    assert changes["network_def#encoder"]["max_filters"] == 160
    assert changes["network_def#head#width"] == [32, 64, 128, 160]
    with torch.device("meta"):
        network = ConfigParser(read_config(BRAIN, "train", changes)).get_parsed_content("network_def")
    assert network.fused_channels == [32, 64, 128, 160, 160]
    assert 20e6 < sum(p.numel() for p in network.parameters()) < 102e6


def test_what_does_not_fit_at_all_is_said(manifest, one_pass):
    with pytest.raises(PolyscanError, match=r"The smallest network needs .* GB for a step; 0.0 GB are at hand"):
        make_plan(BRAIN, manifest, memory=0.001)


def test_classes_weigh_by_how_rare_they_are(tmp_path):
    plan = make_plan(GLIOMA, make_manifest(GLIOMA, tmp_path / "cohort"))
    assert plan["about"]["data"]["classes"] == {"grade": {"2": 2, "3": 2, "4": 1}, "IDH": {"wildtype": 3, "mutated": 2}}
    assert plan["train"]["class_weights"] == {"grade": [0.833, 0.833, 1.667], "IDH": [0.833, 1.25]}


def test_a_planned_network_is_trained_and_answers_without_being_told_again(manifest, tmp_path, capsys):
    """The plan of the command line, edited to be small, trains; its weights build their own network."""
    file = tmp_path / "plan.json"
    assert main(["plan", str(BRAIN), str(manifest), "-o", str(file), "--memory", "2"]) == 0
    assert "--config" in capsys.readouterr().out
    plan = json.loads(file.read_text())
    plan["shared"]["network_def#encoder"]["init_filters"] = 4
    plan["shared"]["network_def#head#width"] = [4, 8]
    plan["train"]["max_epochs"] = 1
    file.write_text(json.dumps(plan))
    weights = train(BRAIN, manifest, tmp_path / "run", overrides=read_fragment(file, "train"))
    assert torch.load(weights, weights_only=True)["body.head.deep.0.weight"].shape[:2] == (3, 8)
    answered = infer(BRAIN, manifest, tmp_path / "out", weights=weights)
    assert not answered.failed
    assert settings_of(read_weights(weights))["spacing"] == [4.0, 4.0, 4.0]
    (study, *_) = answered.studies
    assert study.prediction.model.protocols == [study.protocol]  # and not the bundle's own
    assert answered.prepared_otherwise == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fusion", {"_target_": "os.system", "command": "touch /tmp/x"}),
        ("fusion", {"_target_": "torch.nn.parallel.scatter_gather.torch.hub.load"}),
        ("spacing", "$__import__('os').getcwd()"),
        ("regions", "%/etc/hostname"),
    ],
)
def test_weights_cannot_name_what_is_to_be_run(name, value, tmp_path):
    weights = torch.load(BRAIN / "models" / "model.pt", weights_only=True)
    said = json.loads(bytes(weights["_extra_state"].tolist()))
    said["settings"] = {name: value}
    weights["_extra_state"] = torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)
    torch.save(weights, tmp_path / "model.pt")
    settings = settings_of(read_weights(tmp_path / "model.pt"))
    with pytest.raises(PolyscanError, match=f"wants {name} to be built with .* if you trust it, give {name} yourself"):
        carried_settings(settings, tmp_path / "model.pt", BRAIN, {})
    assert carried_settings(settings, tmp_path / "model.pt", BRAIN, {name: 1}) == {}
