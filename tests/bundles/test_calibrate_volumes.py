"""The volumes of a segmentation are calibrated with a command, and told with an interval from then on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from prepared import BRAIN as BUNDLE, BUNDLES, SMALL_BRAIN as SMALL, make_manifest, small_brain_network

from polyscan.bundle.calibrate import calibrate
from polyscan.bundle.carried import LEARNT, marks_of
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.inference.volume_intervals import volume_bounds
from polyscan.report import write_study_page
from polyscan.report.measures import rows_of
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Six studies of five subjects that have a mask, one of whom lacks T1, and weights of a network as it begins."""
    folder = tmp_path_factory.mktemp("volumes")
    manifest = make_manifest(BUNDLE, folder / "cohort")
    found = read_manifest(manifest)
    a, b = found.validation
    studies = [replace(each, subject=name) for name, each in zip("ABCD", (a, b, a, b), strict=True)]
    studies += [replace(a, subject="B", session="2"), replace(found.testing[1], subject="E")]
    studies = [replace(s, scans={m: one for m, one in s.scans.items() if m in ("T1", "FLAIR")}) for s in studies]
    write_manifest(manifest, replace(found, validation=studies, testing=[]))
    network = small_brain_network()
    torch.save(network.state_dict(), folder / "model.pt")
    return manifest, folder / "model.pt", network


def test_intervals_are_those_of_what_infer_marks_and_hold_the_true_volumes(given, tmp_path, capsys):
    manifest, weights, _ = given
    options = ["--weights", str(weights), *(f"--set={name}={value}" for name, value in SMALL.items())]
    assert main(["calibrate", BUNDLE.name, str(manifest), *options, "--coverage", "0.5"]) == 0
    path = weights.with_name("calibration.json")
    assert capsys.readouterr().out.strip() == str(path)
    bounds = json.loads(path.read_text())["volumes"]["bounds"]
    assert set(bounds["tumour core"]) == {"1000", "0001", "1001"}
    every = tmp_path / "every.json"
    found = read_manifest(manifest)
    write_manifest(every, Manifest(roots=found.roots, testing=found.validation))
    for absent, pattern in (([], "1001"), (["T1"], "0001")):
        out = tmp_path / pattern
        line = ["infer", BUNDLE.name, str(every), *options, "-o", str(out)]
        assert main([*line, "--without", *absent] if absent else line) == 0
        studies = [s for s in read_manifest(out / "manifest.json").studies if absent or "T1" in s.scans]
        for region in bounds:
            rows = [(s.prediction.volumes_ml[region], s.prediction.scores[region].true_ml, s.subject) for s in studies]
            below, above = volume_bounds(*zip(*rows, strict=True), 0.5)
            assert bounds[region][pattern] == pytest.approx([below, above], abs=1e-3)
            for study, (marked, _, _) in zip(studies, rows, strict=True):
                told = study.prediction.volume_intervals[region]
                assert told.coverage == 0.5
                ends = [max(0, np.cbrt(marked) + by) ** 3 for by in (-below, above)]
                assert [told.low_ml, told.high_ml] == pytest.approx(ends, abs=2e-3)
    assert not studies[0].prediction.model.calibrated  # its probabilities are not
    told = studies[0].prediction.volume_intervals["tumour core"]
    page = write_study_page(studies[0], tmp_path / "page.html").read_text()
    assert "50 % interval of the true, mL" in page
    assert f"{told.low_ml:.1f} to {told.high_ml:.1f}" in page
    (row,) = rows_of(studies[:1], [])
    assert (row["tumour core at least ml"], row["tumour core at most ml"]) == (told.low_ml, told.high_ml)
    capsys.readouterr()
    assert main([*line, "--set", "threshold=0.3"]) == 1
    assert "made with threshold 0.5, mirror False, not threshold 0.3" in capsys.readouterr().err
    assert main(["calibrate", BUNDLE.name, str(manifest), *options, "--coverage=0.5", "--set", "threshold=0.3"]) == 0


def test_a_spoiled_scan_is_told_and_read_as_absent_if_so_asked(given, tmp_path, capsys):
    manifest, _, network = given
    found, weights, many, whole = (
        read_manifest(manifest),
        tmp_path / "model.pt",
        tmp_path / "many.json",
        tmp_path / "whole.json",
    )
    torch.save(network.state_dict(), weights)
    one = found.validation[0]
    flair = [replace(one, subject=f"{n}", scans={"FLAIR": one.scans["FLAIR"]}) for n in range(20)]
    write_manifest(many, Manifest(roots=found.roots, validation=flair))
    write_manifest(whole, Manifest(roots=found.roots, testing=[one]))
    options = ["--weights", str(weights), *(f"--set={name}={value}" for name, value in SMALL.items())]
    assert main(["calibrate", BUNDLE.name, str(many), *options]) == 0

    def told(*asked):
        out = tmp_path / "-".join(["out", *asked])
        assert main(["infer", BUNDLE.name, str(whole), *options, "-o", str(out), *asked]) == 0
        return read_manifest(out / "manifest.json").studies[0].prediction

    def known(distance):
        content["distances"]["FLAIR"]["distances"] = [[[distance]] * 20 for _ in range(5)]
        path.write_text(json.dumps(content))

    path = weights.with_name("calibration.json")
    content = json.loads(path.read_text())
    assert content["distances"].keys() == {"FLAIR"}
    known(1e12)  # as if all were further away
    plain = told("--ignore-atypical")
    assert (plain.typicality, plain.ignored, plain.present) == ({"FLAIR": 1.0}, [], ["T1", "FLAIR"])
    known(-1.0)  # as if all were nearer
    asked, left, without = told("--ignore-atypical"), told(), told("--without", "FLAIR")
    assert (asked.typicality, asked.ignored, asked.present) == ({"FLAIR": 0.0099}, ["FLAIR"], ["T1"])
    assert (left.typicality, left.ignored, left.present) == (asked.typicality, [], ["T1", "FLAIR"])
    assert asked.volumes_ml == without.volumes_ml != left.volumes_ml
    assert asked.volume_intervals == without.volume_intervals
    capsys.readouterr()
    path.unlink()
    assert main(["infer", BUNDLE.name, str(whole), *options, "-o", str(tmp_path / "x"), "--ignore-atypical"]) == 1
    assert "run polyscan calibrate first, or leave --ignore-atypical away" in capsys.readouterr().err


def test_what_cannot_be_calibrated_is_refused(given, tmp_path):
    manifest, weights, network = given
    options = {"weights": weights, "overrides": SMALL}
    with pytest.raises(PolyscanError, match=r"5 subjects with a mask are too few .* 0\.9, which takes 19; give more"):
        calibrate(BUNDLE, manifest, **options)
    with pytest.raises(PolyscanError, match="segments, and --method is of classes; leave it away"):
        calibrate(BUNDLE, manifest, method="vector", **options)
    with pytest.raises(PolyscanError, match="glioma_survival tells neither classes nor volumes"):
        calibrate(BUNDLES / "glioma_survival", manifest)
    found, other = read_manifest(manifest), tmp_path / "other.json"
    write_manifest(other, replace(found, validation=[], training=found.validation, testing=[]))
    with pytest.raises(PolyscanError, match="no study with a mask in the section 'validation'"):
        calibrate(BUNDLE, other, **options)
    network.settings = {LEARNT: sorted(marks_of(found.validation[1:2]))}
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(PolyscanError, match="The weights learnt from sub-B; give studies"):
        calibrate(BUNDLE, manifest, weights=tmp_path / "model.pt", overrides=SMALL)
