"""A network a fold, none watched on whom it learnt from, and the mean of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from prepared import BUNDLES, make_manifest

from polyscan.bundle.carried import PROTOCOLS, settings_of
from polyscan.bundle.folds import assign_folds, members
from polyscan.bundle.run import train
from polyscan.bundle.weights import read_weights
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.digest import sha256
from polyscan.study import Label, Study
from polyscan.study.manifest import read_manifest, write_manifest

BUNDLE = "brain_mri_tumour_segmentation"
SMALL = [
    *("--set", "max_epochs=1", "--set", "roi_size=[16, 16, 16]", "--set", "fuse_at=[0, 1]"),
    *("--set", "network_def#encoder#channels=[4, 8]", "--set", "network_def#head#width=[4]"),
]


def test_a_subject_is_in_one_fold():
    studies = [Study(f"P{k // 2}", session=str(k % 2)) for k in range(22)]
    folds = assign_folds(studies, 5)
    assert {study.subject: study.fold for study in folds} == {study.subject: study.fold for study in folds[::-1]}
    sizes = [sum(study.fold == k for study in folds) for k in range(5)]
    assert max(sizes) - min(sizes) <= 2
    assert folds == assign_folds(studies, 5)


def test_folds_have_about_as_many_of_each_class():
    """Of 60 patients with two visits 10 have an event; by chance alone one fold would often have none of them."""
    labels = [Label(tasks={"IDH": str(k % 2), "survival": {"time": k, "event": int(k < 10)}}) for k in range(60)]
    studies = [Study(f"P{k:02}", session=visit, label=label) for k, label in enumerate(labels) for visit in "12"]
    folds, turned = (assign_folds(given, 5, ["IDH", "survival"]) for given in (studies, studies[::-1]))
    for k in range(5):
        tasks = [study.label.tasks for study in folds if study.fold == k]
        assert len(tasks) == 24
        assert sum(each["survival"]["event"] for each in tasks) == 4
        assert sum(each["IDH"] == "1" for each in tasks) == 12
    assert folds == turned[::-1]


def test_folds_of_the_manifest_are_kept():
    studies = [Study(f"P{k}", fold=(k * 3) % 4) for k in range(8)]
    assert assign_folds(studies, 4) == studies
    with pytest.raises(PolyscanError, match="sub-P0 is in two folds"):
        assign_folds([*studies, Study("P0", session="2", fold=1)], 4)


@pytest.mark.parametrize("folds", [(1, 2, 3), (0, 2, 2), (0, 1, None), (-1, 0, 1)])
def test_folds_that_are_not_counted_from_0_are_not_dealt_anew_without_a_word(folds):
    with pytest.raises(PolyscanError, match="expected 0, 1, 2 and on, one for each study"):
        assign_folds([Study(f"P{k}", fold=fold) for k, fold in enumerate(folds)], 3)


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_without_a_subject_are_refused(folds):
    with pytest.raises(PolyscanError, match="2 to that many"):
        assign_folds([Study("A"), Study("B"), Study("C")], folds)


def test_folds_are_trained_and_answer_together(tmp_path, capsys):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    assert main(["train", BUNDLE, str(manifest), "-o", str(tmp_path / "cv"), "--folds", "0", *SMALL]) == 1
    assert "2 to that many" in capsys.readouterr().err
    assert main(["train", BUNDLE, str(manifest), "-o", str(tmp_path / "cv"), "--folds", "2", *SMALL]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    watched = [read_manifest(tmp_path / "cv" / f"fold{k}.json") for k in range(2)]
    for fold in watched:
        assert not {s.subject for s in fold.training} & {s.subject for s in fold.validation}
        assert len(fold.testing) == 2
    assert sorted(s.subject for fold in watched for s in fold.validation) == ["0", "1", "2", "3", "4"]
    assert len(members([tmp_path / "cv"])) == 2
    out = ["-o", str(tmp_path / "out"), "--mirror"]
    assert main(["infer", BUNDLE, str(manifest), *out, "--ensemble", str(tmp_path / "cv")]) == 0
    assert len(read_manifest(tmp_path / "out" / "manifest.json").studies) == 2
    with pytest.raises(PolyscanError, match="holds no fold with weights"):
        members([tmp_path / "out"])
    out_of_fold = ["infer", BUNDLE, str(manifest), "-o", str(tmp_path / "tested"), "--out-of-fold"]
    capsys.readouterr()
    assert main([*out_of_fold, str(tmp_path / "cv")]) == 0
    assert "2 others have none" in capsys.readouterr().out
    tested = read_manifest(tmp_path / "tested" / "manifest.json")
    assert {s.subject: s.fold for s in tested.testing} == {s.subject: k for k in (0, 1) for s in watched[k].validation}
    for study in tested.studies:
        assert study.prediction.model.weights == [sha256(tmp_path / "cv" / f"fold{study.fold}" / "last.pt")]
        assert Path(study.prediction.path).parent == tmp_path / "tested" / f"fold{study.fold}"
    assert main(["evaluate", str(tmp_path / "tested")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("mask: 5 studies of 5 patients")
    assert said.count("| threshold |") == 4
    assert "| polyscan |" in said
    given = ["train", BUNDLE, str(manifest), "-o", str(tmp_path / "cv"), "--evaluate", *SMALL]
    assert main([*given, "--folds", "2"]) == 0  # trained already
    table = said.replace(str(tmp_path / "tested"), str(tmp_path / "cv" / "answers")).strip()
    assert capsys.readouterr().out.strip().endswith(table)
    assert main(given) == 1
    assert "say how many by --folds" in capsys.readouterr().err
    assert main([*out_of_fold, str(tmp_path / "out")]) == 1
    assert "holds no folds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fold", "sizes", "protocols"),
    [
        ("1", {"trained_on": 3, "watched": 2}, ["of fold 0"]),
        ("all", {"trained_on": 5, "watched": 3}, ["of fold 0", "of fold 1"]),
    ],
)
def test_one_fold_is_watched_or_all_are_learnt_from(tmp_path, capsys, fold, sizes, protocols):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    found = read_manifest(manifest)
    studies = assign_folds([*found.training, *found.validation], 2)
    for study in studies:
        study.preparation.protocol = f"of fold {study.fold}"
    found.training, found.validation = ([s for s in studies if s.fold == k] for k in (1, 0))
    write_manifest(manifest, found)
    given = ["train", BUNDLE, str(manifest), "-o", str(tmp_path / "run"), *SMALL]
    assert main([*given, "--fold", fold]) == 0
    assert read_json(tmp_path / "run" / "run.json")["studies"] == sizes
    assert settings_of(read_weights(tmp_path / "run" / "model.pt"))[PROTOCOLS] == protocols
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*given, "--fold", "some"])
    assert "'some' is no fold: give its number, or all" in capsys.readouterr().err


def test_nobody_tells_the_slope_of_a_risk_where_all_are_learnt_from(tmp_path):
    manifest = make_manifest(BUNDLES / "glioma_survival", tmp_path / "cohort")
    weights = train("glioma_survival", manifest, tmp_path / "run", overrides={"max_epochs": 1, "fold": "all"})
    assert (torch.load(weights, weights_only=True)["slope"] == 1).all()


def test_classifiers_answer_with_their_mean_probability(tmp_path):
    """Three files, one named twice, so that its share is two thirds."""
    bundle = "drifa_multitask_classification"
    manifest = make_manifest(BUNDLES / bundle, tmp_path / "cohort")
    first, second = BUNDLES / bundle / "models" / "model.pt", tmp_path / "second.pt"
    weights = torch.load(first, weights_only=True)
    torch.save({k: 0.8 * v if v.is_floating_point() else v for k, v in weights.items()}, second)
    answers = {}
    for name, files in {"a": [first], "b": [second], "aab": [first, first, second]}.items():
        out = ["-o", str(tmp_path / name), "--set", "monte_carlo_samples=2", "--ensemble", *map(str, files)]
        assert main(["infer", bundle, str(manifest), *out]) == 0
        studies = read_manifest(tmp_path / name / "manifest.json").testing
        answers[name] = [p for s in studies for t in s.prediction.answers.values() for p in t.probabilities.values()]
    expected = [(2 * a + b) / 3 for a, b in zip(answers["a"], answers["b"], strict=True)]
    assert answers["a"] != pytest.approx(answers["b"], abs=1e-2)
    assert answers["aab"] == pytest.approx(expected, abs=2e-4)
