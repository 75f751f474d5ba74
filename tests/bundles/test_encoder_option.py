"""``polyscan train --encoder``: pretrained encoders in a bundle, and what cannot have one."""

from __future__ import annotations

import json

import pytest
import torch
from monai.networks.nets import resnet10
from prepared import BUNDLES, make_manifest

from polyscan.bundle.encoder_option import encoder_option
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.run import infer, train
from polyscan.cli import main
from polyscan.errors import PolyscanError

SEGMENTATION, QUICK = "sarcoma_ct_mr_pet_segmentation", {"max_epochs": 1, "val_interval": 1, "roi_size": [24, 24, 24]}
ENCODER = "ResNetEncoder(depth=10, widen_factor=0.125)"


@pytest.fixture
def file(tmp_path):
    """Weights as MedicalNet keeps them."""
    theirs = resnet10(n_input_channels=1, widen_factor=0.125, bias_downsample=False, feed_forward=False)
    path = tmp_path / "resnet_10.pth"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}}, path)
    return path


def test_trained_weights_answer_without_the_file_and_without_an_option(file, tmp_path):
    manifest = make_manifest(BUNDLES / SEGMENTATION, tmp_path / "cohort")
    stem = torch.load(file, weights_only=True)["state_dict"]["module.conv1.weight"]
    words = [*("--encoder", ENCODER, "--encoder-weights", file, "--encoder-training", "low-rank(rank=2)")]
    words += [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    assert main(["train", SEGMENTATION, *map(str, [manifest, "-o", tmp_path / "run", *words])]) == 0
    file.unlink()
    weights = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    assert torch.equal(weights["body.encoders.1.stages.0.stage.0.layer.weight"], stem)
    assert weights["body.encoders.1.stages.0.stage.0.up.weight"].abs().sum() > 0
    options = {"weights": tmp_path / "run" / "model.pt", "overrides": {"roi_size": QUICK["roi_size"]}}
    result = infer(SEGMENTATION, manifest, tmp_path / "out", **options)
    assert [study.key for study in result.studies] == ["sub-5", "sub-6"]
    assert "ResNetEncoder" in result.studies[0].prediction.model.parts
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["encoder_weights"] == str(file)
    assert config["encoder_learning_rate"] == "$@learning_rate / 10"


@pytest.mark.parametrize(
    ("bundle", "part"),
    [
        ("petct_staging", "network_def#network#encoder"),
        ("glioma_grading_classification", "network_def#network#encoder"),
        ("brain_mri_tumour_segmentation", "network_def#encoder"),
    ],
)
def test_the_encoder_of_a_bundle_is_found(bundle, part, file):
    plain = {"_target_": "polyscan.networks.ResNetEncoder", "_mode_": "callable", "depth": 10, "widen_factor": 0.125}
    assert encoder_option(ENCODER, bundle, {})[part] == plain
    given = encoder_option(ENCODER, bundle, {"encoder_learning_rate": 1e-5}, file, "frozen")
    assert given["encoder_learning_rate"] == 1e-5
    assert given[part]["encoder"] == plain
    assert given[part]["training"] == "frozen"


def test_an_encoder_that_is_not_pretrained_trains(tmp_path):
    """Its levels are fewer than those of the bundle's own, and narrower; the decoder's are too."""
    manifest = make_manifest(BUNDLES / "petct_staging", tmp_path / "cohort")
    changes = encoder_option("UNetEncoder(channels=[4, 6, 8])", "petct_staging", QUICK)
    weights = torch.load(train("petct_staging", manifest, tmp_path / "run", overrides=changes), weights_only=True)
    assert weights["network.decoder.last.weight"].shape[1] == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["Nowhere"], "There is no encoder of images 'Nowhere'; there are DenseNetEncoder, .*ViTEncoder"),
        (["polyscan.networks.FusionNet"], "polyscan.networks.FusionNet is no encoder of images: it must derive"),
        (
            ["UNetEncoder(width=3)"],
            "there is no option width; it has act, channels, dropout, norm",
        ),
        ([ENCODER, "none.pth"], "--encoder-weights none.pth is no file"),
        ([ENCODER, None, "frozen"], "frozen needs an encoder that was trained; name its --encoder-weights"),
        ([ENCODER, None, "half"], "--encoder-training is half; expected full, frozen, low-rank"),
        ([ENCODER, None, "frozen(rank=2)"], "expected full, frozen, low-rank or"),
        (["UNetEncoder", __file__], "UNetEncoder takes no file of weights; leave --encoder-weights away"),
    ],
)
def test_what_is_no_encoder_is_refused(words, sentence):
    text, *rest = words
    with pytest.raises(PolyscanError, match=sentence):
        encoder_option(text, SEGMENTATION, {}, *rest)


@pytest.mark.parametrize(
    ("bundle", "changes", "why"),
    [
        ("drifa_multitask_classification", {}, "its network, DRIFANet, is made with its own"),
        (SEGMENTATION, {"fuse_at": "input"}, "it joins modalities before they are encoded"),
        ("glioma_grading_classification", read_fragment("tables", "train"), "it reads tables"),
        ("glioma_survival", {}, "it reads tables"),
    ],
)
def test_what_has_no_encoder_of_images_is_refused(bundle, changes, why):
    with pytest.raises(PolyscanError, match=f"{bundle} has no encoder of images for each modality .*: {why}"):
        encoder_option(ENCODER, bundle, changes)


def test_weights_of_no_encoder_are_refused(tmp_path, capsys):
    (tmp_path / "m.json").touch()
    assert main(["train", SEGMENTATION, str(tmp_path / "m.json"), "-o", "run", "--encoder-weights", "w.pt"]) == 1
    assert "are of another encoder: name it by --encoder" in capsys.readouterr().err
