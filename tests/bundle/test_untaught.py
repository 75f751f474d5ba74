"""Tasks, and modalities, that were not learnt from what a study has."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from polyscan.bundle.carried import (
    MISSING_BY_LABEL,
    UNLEARNT,
    UNTAUGHT,
    carried_settings,
    settings_of,
    settings_of_studies,
)
from polyscan.bundle.config import bundle_folder
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.run import infer, train
from polyscan.bundle.weights import read_weights
from polyscan.phantom.tasks import find_task, write_task
from polyscan.report.study_page import missing, write_study_page
from polyscan.study import Label, Scan, Study
from polyscan.study.made import prediction_of
from polyscan.study.manifest import read_manifest, write_manifest


def test_what_never_came_with_a_label_of_a_task_does_not_teach_it():
    def study(name, scans, **tasks):
        return Study(name, scans={m: Scan(f"{m}.png") for m in scans}, label=Label(tasks=tasks))

    studies = [
        study("a", ["MRI"], mri="none"),
        study("b", ["CT"], ct="mass"),
        study("c", ["MRI", "PET"], mri="low"),
        study("d", ["US"]),
    ]
    studies[1].clinical = {"age": 50}
    found = settings_of_studies(studies, studies, [], ["mri", "ct", "us"])[UNTAUGHT]
    assert found["mri"] == ["CT", "US", "clinical"]
    assert found["ct"] == ["MRI", "PET", "US"]
    assert found["us"] == ["CT", "MRI", "PET", "US", "clinical"]
    bundle = bundle_folder("drifa_multitask_classification")
    assert carried_settings({UNTAUGHT: found}, "model.pt", bundle, {}) == {UNTAUGHT: found}


@pytest.mark.parametrize(("rates", "expected"), [([0.1, 0.8], {"FLAIR": ["class"]}), (0.45, {})])
def test_answers_say_that_what_is_missing_told_the_label_in_training(rates, expected, tmp_path):
    task = tmp_path / "task"
    write_task(task, find_task("diagnosis"), subjects=120, missing={"FLAIR": rates})
    bundle = "glioma_grading_classification"
    changes = [{**read_fragment("tables", c), **read_fragment(task / "task.json", c)} for c in ("train", "inference")]
    once = {**changes[0], "max_epochs": 1, "val_interval": 1}
    weights = train(bundle, task / "manifest.json", tmp_path / "run", overrides=once)
    asked = {**changes[1], "monte_carlo_samples": 0}
    answers = infer(bundle, task / "manifest.json", tmp_path / "out", weights=weights, overrides=asked)
    assert {str(prediction_of(study).model.missing_by_label) for study in answers.testing} == {str(expected)}
    said = "In training it depended on the label whether FLAIR was missing"
    assert any(said in told for told in answers.cautions) == bool(expected)
    for study in answers.testing:
        text = write_study_page(study, tmp_path / f"{study.key}.html").read_text(encoding="utf-8")
        warned = "In training it depended on class whether <strong>FLAIR</strong> was missing" in text
        assert warned == (bool(expected) and "FLAIR" not in study.scans)
    again = {**once, "pretrained": str(weights)}
    less = replace(read_manifest(task / "manifest.json"))
    less.training, less.validation = ([s for s in of if "FLAIR" in s.scans] for of in (less.training, less.validation))
    write_manifest(tmp_path / "less.json", less)
    other = train(bundle, tmp_path / "less.json", tmp_path / "again", overrides=again)
    assert settings_of(read_weights(other))[MISSING_BY_LABEL] == expected, "what the weights knew that it began with"


def test_a_modality_that_no_study_had_is_not_read(tmp_path):
    """Its part of the network is as it began: an answer from it would be noise."""
    write_task(tmp_path / "task", find_task("diagnosis"), subjects=40)
    found, names = read_manifest(tmp_path / "task" / "manifest.json"), ("T1", "T1c", "T2", "FLAIR")
    for study in (*found.training, *found.validation):
        del study.scans["FLAIR"]
    found.testing[0].scans = {"FLAIR": found.testing[0].scans["FLAIR"]}
    write_manifest(tmp_path / "less.json", found)
    bundle = "glioma_grading_classification"

    def told(config):
        return {**read_fragment("tables", config), **read_fragment(tmp_path / "task" / "task.json", config)}

    changes = {**told("train"), "max_epochs": 1, "val_interval": 1}
    weights = train(bundle, tmp_path / "less.json", tmp_path / "run", overrides=changes)
    asked = {**told("inference"), "monte_carlo_samples": 0}
    answers = infer(bundle, tmp_path / "less.json", tmp_path / "out", weights=weights, overrides=asked)
    (failed,) = answers.failed
    assert "has FLAIR; expected at least one of T1, T1c, T2." in failed.reason
    for study in answers.testing:
        assert prediction_of(study).present == list(names[:3])
        assert missing(study)["FLAIR"] == "not read by this network"
    assert answers.cautions == []
    seen = replace(answers, testing=[found.training[1], found.testing[1]], training=[], validation=[], failed=[])
    mine = shutil.copytree(bundle_folder(bundle), tmp_path / "mine", ignore=shutil.ignore_patterns("*.pt", "docs"))
    (mine / "models").mkdir(exist_ok=True)
    shutil.copy(weights, mine / "models")
    del asked["tasks"]  # which the weights carry
    answers = infer(mine, seen, tmp_path / "seen", overrides=asked)
    assert [prediction_of(study).learnt for study in answers.testing] == [True, False]
    learnt, other = answers.cautions
    assert learnt.startswith(f"The network learnt from 1 of the 2 studies ({found.training[1].key}): its answers for")
    assert "has another tasks than its weights learnt with, and theirs is taken; change it with --set." in other
    changes |= {"pretrained": str(weights)}
    again = train(bundle, tmp_path / "less.json", tmp_path / "again", overrides=changes)
    assert settings_of(read_weights(again))[UNLEARNT] == ["FLAIR"]
    whole = train(bundle, tmp_path / "task" / "manifest.json", tmp_path / "whole", overrides=changes)
    assert settings_of(read_weights(whole))[UNLEARNT] == []
    changes |= {"pretrained": str(whole)}
    known = train(bundle, tmp_path / "less.json", tmp_path / "known", overrides=changes)
    assert settings_of(read_weights(known))[UNLEARNT] == [], "the weights that it began with know it"
