"""Simple models on made studies whose best answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from baselines import Classes, Masks, Survival, main, matrix, rows_of, scored, subjects_of, tasks_of
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, PredictionRecord, Scan, Study, TaskPrediction, scans_of
from polyscan.study.manifest import Manifest, write_manifest


def studies(tmp_path, count=45):
    """``x`` tells the class and the time; ``noise`` tells nothing."""
    draw = np.random.default_rng(0)
    found = []
    for k in range(count):
        x = float(draw.normal())
        file = tmp_path / f"{k}.json"
        file.write_text(json.dumps({"noise": float(draw.normal())} if k % 3 else {}))
        label = {"class": "yes" if x + 0.1 * draw.normal() > 0 else "no"}
        label["survival"] = {"time": float(np.exp(-x)), "event": int(k % 4 > 0)}
        found.append(
            Study(f"P{k}", scans={"genes": Scan(str(file))}, label=Label(tasks=label), clinical={"x": x}, fold=k % 3)
        )
    return found


def test_what_tells_is_found_and_what_does_not_is_not(tmp_path):
    tasks = tasks_of(studies(tmp_path))
    assert {type(task) for task in tasks} == {Classes, Survival}
    for task in tasks:
        scores = {inputs: task.fold_scores(found).mean() for (_, inputs), found in rows_of(task).items()}
        assert list(scores) == ["clinical", "genes", "clinical + genes"]
        assert scores["clinical"] > 0.95
        assert scores["genes"] < 0.75
        assert scores["clinical + genes"] > 0.9


def test_no_study_is_answered_by_a_model_that_has_seen_it(tmp_path):
    """A label that is told by the study's own name alone cannot be learnt."""
    draw = np.random.default_rng(1)
    made = [
        Study(f"P{k}", clinical={"name": f"P{k}"}, label=Label(tasks={"class": str(draw.integers(2))}), fold=k % 5)
        for k in range(60)
    ]
    (task,) = tasks_of(made)
    (found,) = rows_of(task).values()
    assert task.fold_scores(found).mean() < 0.7


def test_only_some_are_scored_and_only_some_subsets_are_tried(tmp_path):
    """Answers that are right for the women alone are right once the men are left out."""
    made = studies(tmp_path)
    task = Classes("class", made)
    truth = np.array([s.label.tasks["class"] == "yes" for s in made])
    women = np.arange(len(made)) % 2 == 0
    answers = np.eye(2)[np.where(women, truth, ~truth).astype(int)]
    assert task.fold_scores(answers).mean() < 0.9
    task.scored = women
    assert task.fold_scores(answers).mean() == 1
    assert scored(task, answers, np.flatnonzero(women))(np.arange(women.sum())) == 1
    assert list(rows_of(task, ["genes"])) == [("logistic regression", "genes")]


def test_missing_values_and_words_have_columns_of_their_own():
    x = matrix([{"a": 1, "b": "u"}, {"b": "v"}, {"a": 3}])
    assert x[:, 0].tolist() == pytest.approx([1, np.nan, 3], nan_ok=True)
    assert x[:, 1].tolist() == pytest.approx([1, 0, np.nan], nan_ok=True)
    assert sorted(x[:, 3:].sum(0).tolist()) == [1, 1]


def test_threshold_is_chosen_on_the_other_folds(tmp_path):
    made = []
    for k in range(6):
        values = torch.zeros(1, 4, 4, 4)
        values[0, :2] = 1.0 if k % 2 else 5.0
        values[0, 0, 0, 0] = torch.nan
        for name, image in (("PET", values), ("mask", (values > 0).float())):
            write_nifti(tmp_path / f"{k}_{name}.nii.gz", MetaTensor(image))
        images = {"PET": str(tmp_path / f"{k}_PET.nii.gz")} if k else {}
        made.append(Study(f"P{k}", scans=scans_of(images), label=Label(str(tmp_path / f"{k}_mask.nii.gz")), fold=k % 3))
    (task,) = tasks_of(made)
    assert isinstance(task, Masks)
    (found,) = rows_of(task).values()
    assert np.isnan(found[0])
    assert found[1:].min() > 0.9


def test_answers_of_a_network_stand_in_the_table(tmp_path, capsys, monkeypatch):
    made = studies(tmp_path)
    write_manifest(tmp_path / "manifest.json", Manifest(made))
    for study in made:
        yes = float(study.label.tasks["class"] == "yes")
        study.prediction = PredictionRecord("out.json")
        study.prediction.answers["class"] = TaskPrediction(probabilities={"no": 1 - yes, "yes": yes})
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(made))
    rows = table_of(tmp_path, capsys, monkeypatch, "--reference", "clinical + genes")
    assert len(rows) == 2 + 3 + 1
    assert "minus clinical + genes" in rows[0]
    assert rows[-1].startswith("| polyscan | out | 1.000 (1.000 to 1.000) | +0.0")


def test_only_studies_that_a_network_answered_for_are_scored(tmp_path, capsys, monkeypatch):
    """Of two folds of three, wrong about the first patient."""
    made = studies(tmp_path)
    write_manifest(tmp_path / "manifest.json", Manifest(made))
    answered = [study for study in made if study.fold != 2]
    for study in answered:
        yes = float((study.label.tasks["class"] == "yes") == (study is not answered[0]))
        study.prediction = PredictionRecord("out.json")
        study.prediction.answers["class"] = TaskPrediction(probabilities={"no": 1 - yes, "yes": yes})
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(answered))
    assert main_task_size(tmp_path, capsys, monkeypatch) == "class: 30 studies of 30 patients"
    rows = table_of(tmp_path, capsys, monkeypatch)
    assert 0.9 < float(rows[-1].split("|")[3].split()[0]) < 1
    write_manifest(tmp_path / "out" / "manifest.json", Manifest([s for s in answered if s.fold == 1]))
    rows = table_of(tmp_path, capsys, monkeypatch, "--reference", "out")
    assert [row.split("|")[5].strip() for row in rows[2:]] == [""] * 4  # no test over folds of one
    assert rows[-1].startswith("| polyscan | out | 1.000 (1.000 to 1.000) |  |")


def test_what_cannot_be_scored_is_told(tmp_path, capsys, monkeypatch):
    made = studies(tmp_path)
    write_manifest(tmp_path / "manifest.json", Manifest(made))
    others = [
        replace(study, subject=f"other {study.subject}", prediction=PredictionRecord("out.json")) for study in made
    ]
    for answered in (others, [replace(study, prediction=PredictionRecord("out.json")) for study in made], made):
        write_manifest(tmp_path / "out" / "manifest.json", Manifest(answered))
        with pytest.raises(PolyscanError, match="no answer of class for any of these studies"):
            run_main(tmp_path, capsys, monkeypatch)
    with pytest.raises(PolyscanError, match="None of the studies to be scored has a label class"):
        run_main(tmp_path, capsys, monkeypatch, "--held-out", "nobody")
    with pytest.raises(PolyscanError, match="tells of no task enough"):
        run_main(tmp_path, capsys, monkeypatch, "--task", "weather")


def test_networks_are_compared_where_there_is_no_table(tmp_path, capsys, monkeypatch):
    made = [replace(study, scans={}, clinical={}) for study in studies(tmp_path)]
    write_manifest(tmp_path / "manifest.json", Manifest(made))
    for study in made:
        study.prediction = PredictionRecord("out.json", answers={"class": TaskPrediction(probabilities={"yes": 1.0})})
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(made))
    (row,) = table_of(tmp_path, capsys, monkeypatch)[2:]
    assert row.startswith("| polyscan | out | 0.500 (0.500 to 0.500) |")


def test_a_class_that_few_patients_lack_leaves_the_others_their_score(tmp_path):
    made = studies(tmp_path, 9)
    for k, study in enumerate(made):
        study.label.tasks["class"] = "abc"[k % 3]
    task = Classes("class", made)
    right = np.eye(3)[task.truth]
    assert task.score(right, np.flatnonzero(task.truth < 2)) == 1
    assert np.isnan(task.score(right, np.flatnonzero(task.truth == 0)))


def test_one_centre_is_scored_alone_or_left_out(tmp_path, capsys, monkeypatch):
    made = studies(tmp_path)
    for k, study in enumerate(made):
        study.centre = "here" if k % 5 else "there"
        study.prediction = PredictionRecord("out.json")
        study.prediction.answers["class"] = TaskPrediction(probabilities={"no": 0.5, "yes": 0.5})
    for folder in ("", "out"):
        write_manifest(tmp_path / folder / "manifest.json", Manifest(made))
    for option, count in (("--only", 9), ("--without", 36)):
        said = main_task_size(tmp_path, capsys, monkeypatch, option, "centre=there")
        assert said == f"class: {count} studies of {count} patients"


def test_models_of_all_others_answer_for_those_held_out(tmp_path):
    made = studies(tmp_path)
    (task,) = [task for task in tasks_of(made) if task.name == "class"]
    held_out = [made[0].subject, made[7].subject]
    task.hold_out(held_out)
    assert [task.patients[k] for k in np.flatnonzero(task.scored)] == held_out
    for answers in rows_of(task, ["clinical"]).values():
        assert np.isfinite(answers[task.scored]).all()
        assert np.isnan(answers[~task.scored]).all()


def test_a_manifest_names_those_held_out(tmp_path):
    write_manifest(tmp_path / "B.json", Manifest(testing=studies(tmp_path)[:2]))
    assert subjects_of(["one", str(tmp_path / "B.json")]) == ["one", "P0", "P1"]


def run_main(tmp_path, capsys, monkeypatch, *options) -> list[str]:
    files = [tmp_path / "manifest.json", "--answers", tmp_path / "out/manifest.json"]
    arguments = ["baselines.py", *files, "--task", "class", "--samples", 50, *options]
    monkeypatch.setattr("sys.argv", [str(a) for a in arguments])
    main()
    return capsys.readouterr().out.splitlines()


def table_of(*arguments) -> list[str]:
    return [line for line in run_main(*arguments) if line.startswith("|")]


def main_task_size(*arguments) -> str:
    return next(line for line in run_main(*arguments) if line.startswith("class:"))
