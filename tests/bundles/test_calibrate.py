"""A classifier is calibrated with a command, and answers with it from then on."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from prepared import BUNDLES, few_samples, make_manifest

from polyscan.bundle.calibrate import calibrate
from polyscan.bundle.carried import LEARNT, marks_of
from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.run import infer
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = BUNDLES / "drifa_multitask_classification"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two studies to answer for, and twenty-four subjects to calibrate on, whose pictures are those of five."""
    path = make_manifest(BUNDLE, tmp_path_factory.mktemp("calibrate") / "cohort")
    found = read_manifest(path)
    known = [study for study in found.studies if study.label.tasks]
    many = [replace(known[k % len(known)], subject=f"v{k}") for k in range(24)]
    write_manifest(path, replace(found, validation=many))
    return path


def test_answers_are_calibrated_from_then_on(manifest, tmp_path):
    weights = tmp_path / "model.pt"
    shutil.copy(BUNDLE / "models" / "model.pt", weights)
    options = {"weights": weights, "overrides": few_samples(BUNDLE)}
    before = infer(BUNDLE, manifest, tmp_path / "out", **options)
    path = calibrate(BUNDLE, manifest, weights=weights, coverage=0.8)
    content = json.loads(path.read_text())
    assert content["temperatures"]
    after = infer(BUNDLE, manifest, tmp_path / "out", **options)  # answered anew, since the settings are others
    for a, b in zip(before.studies, after.studies, strict=True):
        assert a.prediction.answers.keys() == b.prediction.answers.keys() <= content["temperatures"].keys()
        for task, plain in a.prediction.answers.items():
            said = b.prediction.answers[task]
            assert said.predicted_class == plain.predicted_class  # a temperature changes no order
            assert said.probabilities != plain.probabilities
            assert said.prediction_set
            assert not plain.prediction_set
        # the same pictures as were calibrated on, so that none is far from them
        assert set(b.prediction.typicality) == set(content["distances"]) & set(b.prediction.present) != set()
        assert not b.prediction.atypical
        assert not a.prediction.typicality
        assert not b.prediction.ignored
    # curves that say the same of every study are the answer
    for task, kept in content["temperatures"].items():
        ranks = range(1, len(content["tasks"][task]) + 1)
        curves = {"scores": [[0.5] for _ in ranks], "values": [[k / sum(ranks)] for k in ranks]}
        content["temperatures"][task] = {"temperature": kept, **curves}
    path.write_text(json.dumps(content | {"method": "isotonic"}))
    for study in infer(BUNDLE, manifest, tmp_path / "out", **options).studies:
        assert study.model.calibration_method == "isotonic"
        for said in study.prediction.answers.values():
            ranks = range(1, len(said.probabilities) + 1)
            assert list(said.probabilities.values()) == pytest.approx([k / sum(ranks) for k in ranks], abs=1e-3)
    # what was fitted with other weights is refused
    stored = torch.load(weights, weights_only=True)
    torch.save({k: v * 1.1 if v.is_floating_point() else v for k, v in stored.items()}, weights)
    with pytest.raises(PolyscanError, match="was made for other weights"):
        infer(BUNDLE, manifest, tmp_path / "out", **options)
    path.write_text(json.dumps(content | {"format_version": 1}))  # made anew, as the sentence says, whatever lies there
    calibrate(BUNDLE, manifest, weights=weights)
    assert infer(BUNDLE, manifest, tmp_path / "out", **options).studies[0].prediction.model.calibrated


def test_a_batch_reads_atypical_scans_as_absent_and_explains_as_infer_does(manifest, tmp_path):
    weights, given = tmp_path / "model.pt", tmp_path / "given.json"
    shutil.copy(BUNDLE / "models" / "model.pt", weights)
    found = read_manifest(manifest)
    whole = next(study for study in found.testing if len(study.scans) == 2)
    write_manifest(given, Manifest(roots=found.roots, testing=[whole]))
    line = [str(BUNDLE), str(given), "--weights", str(weights)]
    asked = ["--ignore-atypical", "--attribution", "gradcam"]
    out, plain = tmp_path / "batch", tmp_path / "infer"
    assert main(["batch", *line, "-o", str(out), "--jobs", "1", *asked]) == 1  # nothing tells what is typical
    assert not out.exists()
    assert main(["calibrate", str(BUNDLE), str(manifest), "--weights", str(weights), "--method", "vector"]) == 0
    path = weights.with_name("calibration.json")
    content = json.loads(path.read_text())
    assert content["method"] == "vector"
    assert all(each["offsets"] for each in content["temperatures"].values())
    for name, distance in (("MRI", 0.0), ("CT", 1e12)):  # as if every MRI were further away than those known, and no CT
        content["distances"][name]["distances"] = [[[distance]] * 20 for _ in content["distances"][name]["fits"]]
    path.write_text(json.dumps(content))
    assert main(["infer", *line, "-o", str(plain), *asked]) == 0
    assert main(["batch", *line, "-o", str(out), "--jobs", "1", *asked]) == 0
    (one,), (other,) = (read_manifest(folder / "manifest.json").studies for folder in (plain, out))
    assert (other.prediction.ignored, other.prediction.present) == (["MRI"], ["CT"])
    assert other.prediction.ignored == one.prediction.ignored
    assert other.prediction.answers == one.prediction.answers
    assert {Path(file).name for file in other.prediction.maps} == {Path(file).name for file in one.prediction.maps}
    assert other.prediction.maps
    (row,) = csv.DictReader((out / "cohort.csv").open())
    assert (row["modalities"], row["ignored"]) == ("CT", "MRI")
    assert main(["batch", *line, "-o", str(out), "--jobs", "1"]) == 0  # maps are no longer asked for
    assert not list(out.rglob("*_attribution"))


def test_what_cannot_be_calibrated_is_refused(manifest, tmp_path, capsys):
    found = read_manifest(manifest)
    few = tmp_path / "few.json"
    write_manifest(few, Manifest(roots=found.roots, validation=found.validation[:12]))
    with pytest.raises(PolyscanError, match="twenty labelled subjects"):
        calibrate(BUNDLE, few)
    with pytest.raises(PolyscanError, match="coverage is 90; expected a part of all studies below 1"):
        calibrate(BUNDLE, few, coverage=90)
    with pytest.raises(PolyscanError, match="method of calibration is platt; expected one of temperature, vector, iso"):
        calibrate(BUNDLE, few, method="platt")
    assert main(["calibrate", str(BUNDLE), str(few), "--risk", "0.1", "--method", "vector"]) == 1
    assert "--method is of a classifier and --risk of a segmentation" in capsys.readouterr().err
    write_manifest(few, Manifest(roots=found.roots, testing=found.validation[:12]))
    with pytest.raises(PolyscanError, match="no labelled study in the section"):
        calibrate(BUNDLE, few)
    weights, stored = tmp_path / "model.pt", torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    network = StudyEncoder(BUNDLE).network
    network.load_state_dict(stored)
    network.settings = {LEARNT: sorted(marks_of(found.validation[3:4]))}
    torch.save(network.state_dict(), weights)
    with pytest.raises(PolyscanError, match="The weights learnt from sub-v3; give studies"):
        calibrate(BUNDLE, manifest, weights=weights)
