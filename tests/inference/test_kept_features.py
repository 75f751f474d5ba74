"""A scan that comes late is encoded alone, and the answer is that from everything at once."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.features import remove_features
from polyscan.fusion import AttentionWeighted, MeanProbability
from polyscan.fusion.temporal import TemporalDifference
from polyscan.inference import EnsembleAverage, KeptFeatures
from polyscan.networks import (
    CachedFeatures,
    ClassificationHead,
    DRIFANet,
    FusionNet,
    MultiScaleNet,
    PackedScales,
    SegmentationHead,
    TemporalNet,
    UNetEncoder,
)

NAMES = ["CT", "T1", "PET"]
NAN = float("nan")
ENCODER = partial(UNetEncoder, channels=(4, 6))


def make(place, spatial_dims, **options):
    head = partial(SegmentationHead, width=(4,))
    fusion = MeanProbability if place == "output" else AttentionWeighted
    return FusionNet(NAMES, ENCODER, place, fusion, head, spatial_dims=spatial_dims, **options)


def networks():
    classify = FusionNet(["CT", "T1"], ENCODER, [1], AttentionWeighted, ClassificationHead, spatial_dims=2)
    scales = MultiScaleNet(
        {"CT": 0, "T1": 0, "PET": 1}, ENCODER, AttentionWeighted, partial(SegmentationHead, width=(4,)), spatial_dims=2
    )
    return {
        "2D": (make([0, 1], 2), (3, 16, 16)),
        "3D": (make([0, 1], 3), (3, 8, 8, 8)),
        "output": (make("output", 2), (3, 16, 16)),
        "shared": (make([0, 1], 2, shared=True), (3, 16, 16)),
        "scales": (PackedScales(scales), (3, 16, 16)),
        "times": (TemporalNet(classify, TemporalDifference), (4, 16, 16)),
        "ensemble": (EnsembleAverage(make([0, 1], 2)), (3, 16, 16)),
        "DRIFA": (DRIFANet(NAMES, {"a": 2}, in_channels=1, widths=(4, 4, 8, 8), faithful=False), (3, 32, 32)),
    }


def encoded(network, monkeypatch):
    """The modalities that an image given to ``encode`` holds, call by call."""
    calls = []
    encode = network.encode

    def noted(image):
        there = torch.isfinite(image.unflatten(1, (len(network.modalities), -1))).flatten(2).any(2)[0]
        calls.append([name for name, here in zip(network.modalities, there, strict=True) if here])
        return encode(image)

    monkeypatch.setattr(network, "encode", noted)
    return calls


@pytest.mark.parametrize("name", networks())
@torch.no_grad()
def test_a_late_scan_is_encoded_alone(name, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network, shape = networks()[name]
    network.eval()
    whole = torch.randn(1, *shape)
    first = whole.clone()
    first[:, -1] = NAN
    expected = network(whole)
    calls = encoded(network, monkeypatch)
    kept = KeptFeatures(network, tmp_path)
    with kept.study("sub-01"):
        torch.testing.assert_close(kept(first), network(first))
    assert kept.reused == []
    calls.clear()
    with kept.study("sub-01"):
        torch.testing.assert_close(kept(whole), expected)
        torch.testing.assert_close(kept(whole), expected)
    assert calls == [[network.modalities[-1]]]
    assert kept.reused == network.modalities[:-1]
    calls.clear()
    with kept.study("sub-02"):
        kept(whole)
    assert calls == [network.modalities]  # what is kept is a study's own


@torch.no_grad()
def test_other_weights_and_other_values_are_encoded_anew(tmp_path):
    torch.manual_seed(0)
    network = make([0, 1], 2).eval()
    kept, image = KeptFeatures(network, tmp_path), torch.randn(1, 3, 16, 16)
    with kept.study("sub-01"):
        kept(image)
    moved = image.clone()
    moved[0, 1, 0, 0] += 1
    with kept.study("sub-01"):
        torch.testing.assert_close(kept(moved), network(moved))
    assert kept.reused == ["CT", "PET"]
    weights = kept.weights
    network.body.encoders[0].stages[0].conv_0.conv.weight.mul_(1.5)
    with kept.study("sub-01"):
        torch.testing.assert_close(kept(moved), network(moved))
    assert kept.reused == []
    assert kept.weights != weights
    assert len(list((tmp_path / "sub-01").iterdir())) == 3  # nothing of before stays
    (tmp_path / "sub-01" / "notes.txt").write_text("mine")
    remove_features(tmp_path / "sub-01")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["notes.txt"]


@torch.no_grad()
def test_encoders_of_absent_modalities_do_not_run():
    network, image = make([0, 1], 2).eval(), torch.randn(2, 3, 16, 16)
    calls = []
    for m, encoder in enumerate(network.body.encoders):
        encoder.register_forward_hook(lambda _, inputs, __, m=m: calls.append((m, len(inputs[0]))))
    image[:, 1:] = NAN
    image[1, 2] = 0
    network(image)
    assert calls == [(0, 2), (2, 1)]


def test_a_network_that_encodes_what_was_joined_keeps_nothing(tmp_path):
    with pytest.raises(PolyscanError, match="joins modalities before it encodes them"):
        KeptFeatures(make("input", 2), tmp_path)


def test_a_late_table_updates_the_answer_and_the_record_keeps_both(tmp_path):
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    assert main(["phantom", str(cohort), "--task", "diagnosis", "--subjects", "40"]) == 0
    changes = ["--config", "tables", "--config", str(cohort / "task.json")]
    manifest = read_json(cohort / "manifest.json")
    given = ["glioma_grading_classification", str(cohort / "manifest.json")]
    assert main(["train", *given, "-o", str(tmp_path / "run"), *changes, "--set", "max_epochs=1"]) == 0

    def infer(content, folder, *options):
        write_json(cohort / "part.json", content)
        arguments = ["infer", given[0], str(cohort / "part.json"), "-o", str(folder), *changes, *options]
        assert main([*arguments, "--weights", str(tmp_path / "run" / "model.pt")]) == 0
        return read_json(folder / "manifest.json")["testing"][0]["prediction"]

    whole = {**manifest, "training": [], "validation": [], "testing": manifest["testing"][:1]}
    late = {**whole["testing"][0], "scans": dict(whole["testing"][0]["scans"])}
    late["scans"].pop("FLAIR")
    first = infer({**whole, "testing": [late]}, out, "--keep-features")
    second = infer(whole, out, "--keep-features")
    assert second["reused"] == first["present"] == ["T1", "T1c", "T2"]
    (earlier,) = second["earlier"]
    assert (earlier["present"], earlier["answers"], earlier["at"]) == (first["present"], first["answers"], first["at"])
    assert sorted(path.name.partition("_")[2] for path in out.glob("sub-*")) == [
        "answer.json",
        "earlier1_answer.json",
        "study.json",
    ]
    once = infer(whole, tmp_path / "once")
    assert not {"reused", "earlier"} & once.keys()
    probabilities = [said["answers"]["class"]["probabilities"] for said in (second, once)]
    assert probabilities[0] == probabilities[1] != first["answers"]["class"]["probabilities"]
    kept = {path: path.stat().st_mtime_ns for path in out.glob("features/*/*.pt")}
    assert len(kept) == 4
    assert infer(whole, out, "--keep-features") == second  # nothing came: the answer stays as it is
    assert {path: path.stat().st_mtime_ns for path in out.glob("features/*/*.pt")} == kept
    unread = {**whole, "testing": [{**whole["testing"][0], "centre": "north"}]}
    again = infer(unread, out, "--keep-features")
    assert again["reused"] == again["present"]
    assert again["earlier"] == second["earlier"]  # something came that is not read: asked anew, from the same
    assert (out / again["earlier"][0]["path"].rpartition("/")[2]).is_file()
    infer({**whole, "testing": [late]}, tmp_path / "other")
    assert "earlier" not in infer(whole, tmp_path / "other", "--set", "monte_carlo_samples=3")  # another answer


@torch.no_grad()
def test_a_scan_is_described_by_the_windows_that_hold_some_of_it(tmp_path):
    torch.manual_seed(0)
    network = make([0, 1], 2).eval()
    windows = torch.randn(3, 3, 16, 16)
    windows[1, 1] = windows[:, 2] = windows[2] = NAN  # T1 stands in the first alone, PET and all of the third nowhere
    for folder in ("", tmp_path):
        kept = KeptFeatures(network, folder)
        kept.describes = True
        for _ in range(2):  # of the study alone, not of the one before
            with kept.study("sub-01"):
                answers = torch.cat([kept(windows[:2]), kept(windows[2:])])
        torch.testing.assert_close(answers[:2], network(windows[:2]))
        described, acquired = kept.described
        each = CachedFeatures.of(network, windows).described()
        assert acquired.tolist() == [True, True, False]
        torch.testing.assert_close(described[0], each[:2, 0].mean(0))
        torch.testing.assert_close(described[1], each[0, 1])
