"""A network a fold, none watched on whom it learnt from, and the mean of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from polyscan.bundle.folds import assign_folds, members
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.study import Study
from polyscan.study.manifest import read_manifest

sys.path.append(str(Path(__file__).parents[1] / "bundles"))
from prepared import BUNDLES, make_manifest

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


def test_folds_of_the_manifest_are_kept():
    studies = [Study(f"P{k}", fold=(k * 3) % 4) for k in range(8)]
    assert assign_folds(studies, 4) == studies
    with pytest.raises(PolyscanError, match="sub-P0 is in two folds"):
        assign_folds([*studies, Study("P0", session="2", fold=1)], 4)


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_without_a_subject_are_refused(folds):
    with pytest.raises(PolyscanError, match="2 to that many"):
        assign_folds([Study("A"), Study("B"), Study("C")], folds)


def test_folds_are_trained_and_answer_together(tmp_path, capsys):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
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
