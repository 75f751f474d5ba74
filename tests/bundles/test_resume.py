"""Answers are kept where nothing changed, made anew where anything did, and never mixed."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from prepared import BUNDLES, make_manifest

from polyscan.bundle.run import infer, load_predictor
from polyscan.errors import PolyscanError
from polyscan.study.manifest import read_manifest

BUNDLE = BUNDLES / "brain_mri_tumour_segmentation"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(BUNDLE, tmp_path_factory.mktemp("resume") / "prepared")


def times(out) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*_pred.nii.gz")}


def test_only_what_changed_is_answered_anew(manifest, tmp_path):
    out = tmp_path / "out"
    first = infer(BUNDLE, manifest, out)
    before, page = times(out), (out / "manifest.json").read_text()
    assert len(before) == 2

    infer(BUNDLE, manifest, out)
    assert times(out) == before
    assert (out / "manifest.json").read_text() == page

    one, other = sorted(before)
    (out / one).unlink()  # by hand
    infer(BUNDLE, manifest, out)
    assert times(out)[one] != before[one]
    assert times(out)[other] == before[other]

    weights = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    torch.save(
        {k: v * 1.5 if torch.is_tensor(v) and v.is_floating_point() else v for k, v in weights.items()},
        tmp_path / "w.pt",
    )
    for change in ({"weights": tmp_path / "w.pt"}, {"absent": ["T2"]}, {"overrides": {"overlap": 0.5}}):
        before = times(out)
        infer(BUNDLE, manifest, out, **change)
        now = times(out)
        assert all(time != now[name] for name, time in before.items()), change
    assert [s.key for s in first.studies] == [s.key for s in read_manifest(out / "manifest.json").studies]


def test_a_scan_that_is_gone_costs_its_study_only_and_is_named(manifest, tmp_path):
    one, other = read_manifest(manifest).tested
    name, scan = next(iter(one.scans.items()))
    away = Path(scan.path).rename(tmp_path / "away.nii.gz")
    try:
        result = infer(BUNDLE, manifest, tmp_path / "out")
    finally:
        away.rename(scan.path)
    assert [study.key for study in result.studies] == [other.key]
    assert [(failure.study, failure.reason) for failure in result.failed] == [
        (one.key, f"{name} is not where its manifest says; put it back, or run polyscan prepare again.")
    ]


def test_a_run_that_was_cut_short_goes_on(manifest, tmp_path):
    out = tmp_path / "out"
    infer(BUNDLE, manifest, out, overrides={"overlap": 0.5})  # results of another setting lie there already

    def cut(done: int, total: int, study: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        infer(BUNDLE, manifest, out, progress=cut)
    assert not (out / "manifest.json").exists()  # it would name answers of two settings
    before = times(out)
    told = []
    result = infer(BUNDLE, manifest, out, progress=lambda *each: told.append(each))
    again = {name for name, time in times(out).items() if time != before[name]}
    assert len(again) == 1
    assert [done for done, _, _ in told] == [1, 2]
    undisturbed = infer(BUNDLE, manifest, tmp_path / "whole")
    for a, b in zip(result.studies, undisturbed.studies, strict=True):
        assert a.prediction.scores == b.prediction.scores
    assert json.loads((out / "manifest.json").read_text())["testing"]


def test_studies_as_they_come(manifest, tmp_path):
    """One network answers for several studies, with modalities left out, as a run over the manifest does.

    Its weights are read once.
    """
    weights = Path(shutil.copy(BUNDLE / "models" / "model.pt", tmp_path))
    predictor = load_predictor(BUNDLE, tmp_path / "out", weights=weights)
    studies = read_manifest(manifest).testing
    for absent in ((), ("T2",)):
        whole = infer(BUNDLE, manifest, tmp_path.parent / f"run{len(absent)}", absent=list(absent))
        for study, expected in zip(studies, whole.studies, strict=True):
            answered = predictor.predict(study, absent)
            weights.unlink(missing_ok=True)
            assert answered.prediction.scores == expected.prediction.scores
            assert answered.prediction.present == expected.prediction.present
    with pytest.raises(PolyscanError, match="has no scan"):
        predictor.predict(studies[0], list(studies[0].scans))
    read = list(studies[0].scans)
    assert predictor.predict(studies[0]).prediction.present == read  # and goes on after it
    beside = replace(studies[0], scans={"CT": studies[0].scans["T1"], **studies[0].scans})
    assert predictor.predict(beside).prediction.present == read  # this bundle reads no CT


def test_the_next_study_is_loaded_while_the_network_answers(manifest, tmp_path):
    predictor = load_predictor(BUNDLE, tmp_path / "out")
    load, windows, loaded, both, waited = predictor.transform, predictor.evaluator.inferer, [], threading.Event(), []

    def transform(item):
        loaded.append(item["study"])
        if len(loaded) == 2:
            both.set()
        return load(item)

    def inferer(*inputs, **options):
        waited.append(both.wait(30))
        return windows(*inputs, **options)

    predictor.transform, predictor.evaluator.inferer = transform, inferer
    result = predictor.run(manifest, tmp_path / "out")
    assert loaded == [study.key for study in result.studies]
    assert waited == [True, True]
