"""Simple models on made studies whose best answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.baselines.evaluate import evaluate
from polyscan.baselines.models import matrix, simple_models, thresholded
from polyscan.baselines.tasks import Classes, Masks, Survival, tasks_of
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, PredictionRecord, Scan, Study, TaskPrediction, scans_of
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


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
        scores = {inputs: task.fold_scores(found).mean() for (_, inputs), found in simple_models(task).items()}
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
    (found,) = simple_models(task).values()
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
    assert task.score_of(answers)(np.arange(women.sum())) == 1
    assert list(simple_models(task, ["genes"])) == [("logistic regression", "genes")]


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
    (found,) = simple_models(task).values()
    assert np.isnan(found[0])
    assert found[1:].min() > 0.9
    write_nifti(tmp_path / "1_PET.nii.gz", MetaTensor(torch.ones(1, 8, 8, 8)))  # as it lies on a grid of its own
    assert np.isnan(thresholded(task, "PET")).tolist() == [True, True, *[False] * 4]


def answered(made, told, of=lambda study: True):
    """The studies with a network's answers, ``told`` of whether the class is yes, to those that ``of`` is true of."""
    for study in filter(of, made):
        yes = float(told(study, study.label.tasks["class"] == "yes"))
        study.prediction = PredictionRecord("out.json")
        study.prediction.answers["class"] = TaskPrediction(probabilities={"no": 1 - yes, "yes": yes})
    return made


def right(study, yes):
    return yes


def write(folder, *sections):
    write_manifest(folder / "manifest.json", Manifest(*sections))
    return folder


def test_a_network_stands_beside_simple_models(tmp_path, capsys):
    out = write(tmp_path / "out", answered(studies(tmp_path), right))
    arguments = ["evaluate", str(out), "--task", "class", "--samples", "50", "--reference", "clinical + genes"]
    assert main(arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "class: 45 studies of 45 patients"
    rows = [line for line in said if line.startswith("|")]
    assert len(rows) == 2 + 3 + 1 + 2 + 1
    assert "minus clinical + genes" in rows[0]
    assert rows[5].startswith(f"| polyscan | {out} | 1.000 (1.000 to 1.000) | +0.0")
    assert rows[-1].startswith("| any | 45 | 0.000 (0.000) | 0.000 |")
    (table,) = evaluate([out], n_resamples=20)  # and none of survival, which the network does not tell
    assert table.task == "class"


def test_a_row_to_compare_with_that_there_is_not_is_refused(tmp_path):
    out = write(tmp_path / "out", answered(studies(tmp_path), right))
    with pytest.raises(
        PolyscanError, match="There is no row of class with the inputs 'gene'; there are clinical, genes,"
    ):
        list(evaluate([out], tasks=["class"], reference="gene", n_resamples=20))


def test_only_studies_that_a_network_answered_for_are_scored(tmp_path):
    """Of two folds of three, wrong about the first patient."""
    made = answered(studies(tmp_path), lambda study, yes: yes == (study.subject != "P0"), lambda study: study.fold != 2)
    (found,) = evaluate([write(tmp_path / "out", made)], tasks=["class"], n_resamples=50)
    assert (found.studies, found.patients) == (30, 30)
    assert 0.9 < found.rows[-1].score.value < 1
    one = write(tmp_path / "one", [study for study in made if study.fold == 1])
    (found,) = evaluate([tmp_path / "out", one], tasks=["class"], reference=str(one), n_resamples=50)
    assert found.studies == 15
    assert not any(np.isfinite(row.p) for row in found.rows)  # no test over folds of one
    assert found.rows[-1].difference is None


def test_what_cannot_be_scored_is_told(tmp_path):
    made = studies(tmp_path)
    labelled = write(tmp_path / "labelled", made)
    others = [replace(s, subject=f"other {s.subject}", prediction=PredictionRecord("out.json")) for s in made]
    for found in (others, [replace(study, prediction=PredictionRecord("out.json")) for study in made], made):
        with pytest.raises(PolyscanError, match="no answer of class for any of these studies"):
            list(evaluate([labelled, write(tmp_path / "out", found)], tasks=["class"]))
    with pytest.raises(PolyscanError, match="tells of no task enough"):
        list(evaluate([write(tmp_path / "silent", others)]))
    with pytest.raises(PolyscanError, match="None of the studies to be scored has a label class"):
        list(evaluate([labelled], tasks=["class"], only="centre=nowhere"))
    with pytest.raises(PolyscanError, match="tells of no task enough"):
        list(evaluate([labelled], tasks=["weather"]))
    with pytest.raises(PolyscanError, match="tells of no task enough"):
        list(evaluate([write(tmp_path / "unfolded", [replace(s, fold=None) for s in made])]))


def test_networks_are_compared_where_there_is_no_table_and_no_fold(tmp_path):
    made = [replace(study, scans={}, clinical={}, fold=None) for study in studies(tmp_path)]
    out = write(tmp_path / "out", answered(made, lambda study, yes: 0.5))
    (found,) = evaluate([out], tasks=["class"], n_resamples=50)
    (row,) = found.rows
    assert (row.method, row.score) == ("polyscan", (0.5, 0.5, 0.5))
    assert "its scores tell nothing of other patients" in str(found)


def test_simple_models_learn_from_other_patients(tmp_path):
    """From none of those that are scored, even where the other manifest holds them too, with labels that are wrong."""
    made = studies(tmp_path)
    out = write(tmp_path / "out", answered([replace(study, fold=None) for study in made[:15]], right))
    swapped = [
        replace(s, label=Label(tasks={"class": "no" if s.label.tasks["class"] == "yes" else "yes"})) for s in made
    ]
    learnt = write(tmp_path / "learnt", [*swapped[:15], *made[15:]]) / "manifest.json"
    out = write(tmp_path / "out", [], [], read_manifest(out / "manifest.json").studies)
    (found,) = evaluate([out], learn_from=learnt, tasks=["class"], inputs=["clinical"], n_resamples=50)
    assert found.studies == 15
    assert found.rows[0].score.value > 0.95
    assert [row.method for row in found.rows] == ["logistic regression", "polyscan"]
    assert not found.notes


def test_simple_models_learn_from_the_same_patients_otherwise_measured(tmp_path):
    """What was measured the other way round is answered so, and never by a model that has learnt from the patient."""
    made = studies(tmp_path)
    learnt = write(tmp_path / "learnt", [replace(study, fold=None) for study in made]) / "manifest.json"
    turned = [replace(study, clinical={"x": -study.clinical["x"]}) for study in made]
    asked = {"learn_from": learnt, "tasks": ["class"], "inputs": ["clinical"], "n_resamples": 50}
    (found,) = evaluate([write(tmp_path / "turned", turned)], **asked)
    assert (found.studies, found.rows[0].score.value < 0.05) == (45, True)
    alone = write(tmp_path / "alone", [replace(study, fold=None) for study in made])
    with pytest.raises(PolyscanError, match="tells of no task enough"):  # nobody else is left to learn from
        list(evaluate([alone], **asked))


def test_a_class_that_few_patients_lack_leaves_the_others_their_score(tmp_path):
    made = studies(tmp_path, 9)
    for k, study in enumerate(made):
        study.label.tasks["class"] = "abc"[k % 3]
    task = Classes("class", made)
    exact = np.eye(3)[task.truth]
    assert task.score(exact, np.flatnonzero(task.truth < 2)) == 1
    assert np.isnan(task.score(exact, np.flatnonzero(task.truth == 0)))


def test_a_class_that_one_fold_alone_has_is_told_by_nobody(tmp_path):
    made = studies(tmp_path)
    for study in made[::3]:
        study.label.tasks["class"] = "rare"
    (found,) = simple_models(Classes("class", made), ["clinical"]).values()
    assert found.shape == (45, 3)
    assert (found[::3, 1] == 0).all()


def test_too_few_of_a_class_are_not_learnt_from(tmp_path):
    made = studies(tmp_path, 9)
    for k, study in enumerate(made):
        study.label.tasks["class"] = "yes" if k < 3 else "no"
    assert simple_models(Classes("class", made)) == {}


def test_one_centre_is_scored_alone_or_left_out(tmp_path):
    made = answered(studies(tmp_path), lambda study, yes: 0.5)
    for k, study in enumerate(made):
        study.centre = "here" if k % 5 else "there"
    out = write(tmp_path / "out", made)
    for choice, count in ({"only": "centre=there"}, 9), ({"leave_out": "centre=there"}, 36):
        (found,) = evaluate([out], tasks=["class"], n_resamples=50, **choice)
        assert found.studies == count
