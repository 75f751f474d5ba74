"""Each bundle trained, evaluated and asked, by MONAI's commands and by polyscan's."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from commands import monai, monai_by_torchrun, monai_in_processes
from monai.bundle import ConfigParser
from prepared import few_samples, kind_of, read_config, reads, small_window

from polyscan.bundle.run import infer, train
from polyscan.errors import PolyscanError
from polyscan.files.schema import encoded
from polyscan.modality import calibrated_channels
from polyscan.study.manifest import read_manifest

QUICK = {"max_epochs": 1, "val_interval": 1}
METRICS = {"classification": "val_auroc", "segmentation": "val_dice", "survival": "val_c"}


def as_words(changes: dict[str, object]) -> list[object]:
    """Changes to a config as MONAI's command line takes them."""
    return [word for name, value in changes.items() for word in (f"--{name}", value)]


def test_the_whole_life_through_monai(bundle, manifest, tmp_path):
    """Train, evaluate and infer as a MONAI user does; polyscan infer gives the same masks."""
    paths = ("--manifest", manifest, "--output_dir", tmp_path / "run")
    small = small_window(bundle)
    monai("run", "--config_file", "configs/train.json", *paths, *as_words({**QUICK, **small}), cwd=bundle)
    weights = tmp_path / "run" / "model.pt"
    overlay = "['configs/train.json','configs/evaluate.json']"
    said = monai("run", "--config_file", overlay, *paths, "--weights", weights, *as_words(small), cwd=bundle)
    assert METRICS[kind_of(bundle)] in said
    assert (tmp_path / "run" / "metrics.csv").exists()
    few = {**few_samples(bundle), **small}
    answer = ("--config_file", "configs/inference.json", "--weights", weights, *as_words(few))
    monai("run", *answer, "--manifest", manifest, "--output_dir", tmp_path / "out", cwd=bundle)
    infer(bundle, manifest, tmp_path / "short", weights=weights, overrides=few)
    long, short = (read_manifest(tmp_path / name / "manifest.json") for name in ("out", "short"))
    assert [s.key for s in long.studies] == ["sub-5", "sub-6"]
    for a, b in zip(long.studies, short.studies, strict=True):
        {"classification": check_answers, "segmentation": check_masks, "survival": check_risks}[kind_of(bundle)](a, b)


def check_masks(a, b):
    first, second = (nibabel.load(s.prediction.path) for s in (a, b))
    np.testing.assert_array_equal(first.get_fdata(), second.get_fdata())
    scan = nibabel.load(next(iter(a.scans.values())).path)
    assert first.shape == scan.shape
    np.testing.assert_allclose(first.affine, scan.affine)
    assert all(score.true_ml > 0 for score in a.prediction.scores.values())
    assert bool(a.prediction.scores) == (a.key == "sub-6")


def check_answers(a, b):
    assert json.loads(Path(a.prediction.path).read_text())["answers"] == {
        task: encoded(answer) for task, answer in a.prediction.answers.items()
    }
    for task, answer in a.prediction.answers.items():
        assert answer.probabilities == pytest.approx(b.prediction.answers[task].probabilities, abs=1e-3)
        assert answer.contributions == pytest.approx(b.prediction.answers[task].contributions, abs=1e-3)
        assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-3)
        assert 0 <= answer.uncertainty <= 1
        assert set(answer.contributions) >= set(a.scans)
        assert (answer.truth is not None) == (a.key == "sub-6")


def check_risks(a, b):
    first, second = (study.prediction.answers["survival"] for study in (a, b))
    assert json.loads(Path(a.prediction.path).read_text())["answers"] == {"survival": encoded(first)}
    assert first.risk == pytest.approx(second.risk, abs=1e-3)
    assert first.risk == pytest.approx(sum(first.contributions.values()), abs=1e-3)
    assert first.contributions == pytest.approx(second.contributions, abs=1e-3)
    assert set(first.contributions) == set(a.prediction.present)
    assert ("clinical" in first.contributions) == (a.key == "sub-5")
    assert (first.truth is not None) == (a.key == "sub-6")
    chances = list(first.survival.values())
    assert chances == sorted(chances, reverse=True)
    for chance, low, high in chances:
        assert 0 <= low <= high <= 1
        assert 0 <= chance <= 1


def test_two_processes_train_together(bundle, manifest, tmp_path):
    configs = "['configs/train.json','configs/multi_gpu_train.json']"
    paths = ("--manifest", manifest, "--output_dir", tmp_path / "run")
    once = {"max_epochs": 1, "val_interval": 2, **small_window(bundle)}
    words = ("run", "--config_file", configs, *paths, *as_words(once))
    by_launcher = bundle.name == "brain_mri_tumour_segmentation"  # one as a user starts it
    (monai_by_torchrun if by_launcher else monai_in_processes)(2, *words, cwd=bundle)
    assert torch.load(tmp_path / "run" / "model.pt", weights_only=True)


def test_any_subset_and_any_fusion(bundle, manifest, tmp_path):
    """A fusion layer and a place are swapped by an option; a study that fails does not stop the other."""
    mean, small = {"fusion": {"_target_": "polyscan.fusion.Mean", "_mode_": "callable"}}, small_window(bundle)
    weights = train(bundle, manifest, tmp_path / "run", overrides={**QUICK, **small, **mean})
    first = json.loads((bundle / "configs" / "inference.json").read_text())["modalities"]
    options = {"weights": weights, "absent": first[1:], "overrides": {**few_samples(bundle), **small}}
    result = infer(bundle, manifest, tmp_path / "out", **options)  # weights carry their layer
    assert [s.key for s in result.studies] == ["sub-5"]
    assert result.studies[0].prediction.present == [name for name in reads(bundle) if name not in first[1:]]
    assert result.failed[0].study == "sub-6"
    assert f"expected at least one of {first[0]}" in result.failed[0].reason


def test_what_cannot_be_used_is_said(bundle, manifest, tmp_path):
    with pytest.raises(PolyscanError, match="no entry 'max_epoch'"):
        train(bundle, manifest, tmp_path, overrides={"max_epoch": 3})
    with pytest.raises(PolyscanError, match="is no bundle"):
        train(tmp_path, manifest, tmp_path)
    with pytest.raises(PolyscanError, match="do not exist"):
        train(bundle, manifest, tmp_path, overrides={"pretrained": str(tmp_path / "none.pt")})
    with pytest.raises(PolyscanError, match="do not exist"):
        infer(bundle, manifest, tmp_path, weights=tmp_path / "none.pt")
    with pytest.raises(PolyscanError, match="does not exist"):
        infer(bundle, tmp_path / "none.json", tmp_path)
    other = {"fusion": {"_target_": "polyscan.fusion.MaskedTransformer", "_mode_": "callable"}}
    with pytest.raises(PolyscanError, match=r"entries differ; give the bundle and the --set options"):
        infer(bundle, manifest, tmp_path, overrides=other)
    config = read_config(bundle, "inference")
    told = "contrasts" if "contrasts" in config else "modalities"  # a network over time is told those of one time
    swapped = {told: config[told][::-1]}
    if "enters" in config:
        swapped["enters"] = dict(reversed(config["enters"].items()))
    said = f"weights were made for the modalities {', '.join(config['modalities'])}, in this order"
    with pytest.raises(PolyscanError, match=said):
        infer(bundle, manifest, tmp_path, overrides=swapped)
    rule = {"fusion": {"_target_": "polyscan.fusion.MeanProbability", "_mode_": "callable"}}
    with pytest.raises(PolyscanError, match="MeanProbability joins logits; a layer that joins features is needed"):
        infer(bundle, manifest, tmp_path, overrides=rule)
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    next(value for name, value in weights.items() if value.is_floating_point()).flatten()[0] = torch.nan
    torch.save(weights, tmp_path / "nan.pt")
    with pytest.raises(PolyscanError, match="not finite"):
        infer(bundle, manifest, tmp_path, weights=tmp_path / "nan.pt")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(PolyscanError, match="cannot be read as weights"):
        infer(bundle, manifest, tmp_path, weights=tmp_path / "bad.pt")


def test_hu_and_suv_keep_their_scale_in_training(bundle):
    """Contrast and gain are a scanner's of MRI; a network that is to know 2.5 SUV cannot have them changed."""
    config = read_config(bundle, "train")["train"]
    shared = read_config(bundle, "inference")
    modalities = shared["modalities"]
    calibrated = sorted(calibrated_channels(modalities)) if shared.get("windows") else []  # a picture of a CT has no HU
    varied = [
        t
        for t in config["random_transforms"]
        if "RandEachModalityd" in t["_target_"]
        and not any("LowResolution" in one["_target_"] for one in t["transforms"])
    ]
    if not calibrated or not varied:
        pytest.skip("this bundle reads no HU or SUV, or changes no intensities")
    ramp = torch.linspace(-1, 1, 8**3).reshape(1, 8, 8, 8).repeat(len(modalities), 1, 1, 1)
    for found in varied:
        always = {**found, "transforms": [{**one, "prob": 1.0} for one in found["transforms"]]}
        made = ConfigParser({"modalities": modalities, "made": always}).get_parsed_content("made")
        changed = made({"image": ramp})["image"]
        assert torch.equal(changed[calibrated], ramp[calibrated])
        others = [m for m in range(len(modalities)) if m not in calibrated]
        assert not others or not torch.equal(changed[others], ramp[others])


def test_what_is_padded_is_absent_and_not_zero(bundle):
    """MONAI ignores a list of constant_values, and zero would mean the average."""
    config = read_config(bundle, "train")["train"]
    transforms = [t for name in ("deterministic_transforms", "random_transforms") for t in config[name]]
    pads = [t for t in transforms if isinstance(t, dict) and "Pad" in t["_target_"]]
    for pad in pads:
        sizes = {"roi_size": [8] * 3, "crop_size": [8] * 3, "enters": {"CT": 0, "PET": 2}}
        made = ConfigParser({**sizes, "pad": pad}).get_parsed_content("pad")
        small = {"image": torch.ones(2, 5, 5, 5), "label": torch.ones(1, 5, 5, 5)}
        out = made(small)
        if "image" in pad["keys"]:
            assert out["image"].shape[1:] == ((7,) * 3 if "Border" in pad["_target_"] else (8,) * 3)
            assert out["image"].isnan().sum() == out["image"].numel() - 2 * 5**3
        assert out["label"].isfinite().all()
    assert bool(pads) == (bundle.name not in ("drifa_multitask_classification", "glioma_survival"))
