"""Weights need no fragment again, or name the file that they need."""

from __future__ import annotations

import json

import pytest

from polyscan.bundle.fragment import FOLDER, known_fragments, read_fragment, read_fragments
from polyscan.bundle.run import infer, train
from polyscan.errors import PolyscanError
from polyscan.files.resources import resource_folder
from polyscan.phantom.tasks import find_task, write_task
from polyscan.study.made import prediction_of

BUNDLE = "glioma_grading_classification"
QUICK = {"max_epochs": 1, "val_interval": 1}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task")
    write_task(folder, find_task("diagnosis"), subjects=20)
    return folder


def probabilities(manifest):
    return [prediction_of(study).answers["class"].probabilities for study in manifest.testing]


def written(path, content):
    path.write_text(json.dumps(content))
    return path


def test_a_fragment_of_polyscan_s_own_is_known_by_its_name_and_by_its_file(tmp_path, monkeypatch):
    own = resource_folder(FOLDER) / "tables.json"
    monkeypatch.chdir(tmp_path)
    assert known_fragments(["tables", own, written(tmp_path / "tables.json", {"train": {}})]) == ["tables", "tables"]
    written(tmp_path / "tables", {"train": {}})
    assert known_fragments(["tables"]) == []


def test_what_a_file_of_one_s_own_changes_plainly_is_carried(task, tmp_path):
    """How columns are scaled in answers, and an entry of one's own that others refer to."""
    tables = read_fragment(task / "task.json", "inference")["tables"]
    shared = {"tables": "@columns", "columns": tables}
    read = read_fragment("tables", "inference")["preprocessing"]
    scaled = [read["transforms"][0] | {"block_scaling": True}, *read["transforms"][1:]]
    answers = {"preprocessing": read | {"transforms": scaled}, "monte_carlo_samples": 3}
    mine = written(tmp_path / "mine.json", {"shared": shared, "inference": answers})
    fragments = ["tables", task / "task.json", mine]
    weights = train(BUNDLE, task / "manifest.json", tmp_path / "run", overrides=QUICK, fragments=fragments)
    alone = infer(BUNDLE, task / "manifest.json", tmp_path / "out", weights=weights)
    told = read_fragments(fragments, "inference")
    again = infer(BUNDLE, task / "manifest.json", tmp_path / "told", weights=weights, overrides=told)
    plain = told | {"preprocessing": read}
    other = infer(BUNDLE, task / "manifest.json", tmp_path / "plain", weights=weights, overrides=plain)
    assert probabilities(alone) == probabilities(again) != probabilities(other)


def test_a_file_that_says_how_studies_are_read_is_asked_for_by_its_name(task, tmp_path):
    """Weights come from anywhere: they may not name transforms."""
    read = read_fragment("tables", "inference")["preprocessing"]
    read["transforms"].append({"_target_": "monai.transforms.Identityd", "keys": "image"})
    mine = written(tmp_path / "mine.json", {"inference": {"preprocessing": read}})
    fragments = ["tables", task / "task.json", mine]
    weights = train(BUNDLE, task / "manifest.json", tmp_path / "run", overrides=QUICK, fragments=fragments)
    wanted = r"wants preprocessing to be built with monai.transforms.Identityd, .* give .*--config mine.json again"
    with pytest.raises(PolyscanError, match=wanted):
        infer(BUNDLE, task / "manifest.json", tmp_path / "out", weights=weights)
    given = read_fragment(mine, "inference")
    assert infer(BUNDLE, task / "manifest.json", tmp_path / "out", weights=weights, overrides=given).testing
