"""``polyscan train --objective``: studies without a label are learnt from, and what was asked for is kept."""

from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from polyscan.bundle import training_items, validation_items
from polyscan.bundle.carried import shared_settings
from polyscan.bundle.config import bundle_folder
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.missing_option import missing_option
from polyscan.bundle.objective_option import objective_option
from polyscan.bundle.run import train
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import read_json
from polyscan.objectives import Objective
from polyscan.phantom.tasks import find_task, write_task
from polyscan.study import Label
from polyscan.study.manifest import read_manifest, write_manifest

BUNDLE = "glioma_grading_classification"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """60 subjects of whom every second for training has no label."""
    folder = tmp_path_factory.mktemp("task") / "diagnosis"
    write_task(folder, find_task("diagnosis"), subjects=60, missing={"FLAIR": 0.5})
    manifest = read_manifest(folder / "manifest.json")
    for study in manifest.training[::2]:
        study.label = Label()
    write_manifest(folder / "manifest.json", manifest)
    return folder


def changes(cohort):
    return {
        **read_fragment("tables", "train"),
        **read_fragment(cohort / "task.json", "train"),
        "max_epochs": 1,
        "val_interval": 1,
    }


def test_studies_without_a_label_come_behind_those_with_one(cohort):
    manifest = cohort / "manifest.json"
    labelled = training_items(manifest, ["class"])
    every = training_items(manifest, ["class"], unlabelled=True)
    assert len(labelled) == 21
    assert every[:21] == labelled
    assert [item["label"] for item in every[21:]] == [{}] * 21
    watched = {item["study"] for item in validation_items(manifest, ["class"])}
    assert not watched & {item["study"] for item in every}


@pytest.mark.parametrize("strategy", [None, "GenerativeImputation", "Distillation"])
def test_objectives_train_beside_a_strategy_and_stand_in_the_run(strategy, cohort, tmp_path):
    given = changes(cohort) if strategy is None else missing_option(strategy, BUNDLE, changes(cohort))
    asked = ["Contrastive(width=8)", "MaskedReconstruction", "Consistency(weight=10)"]
    told = []
    train(
        BUNDLE,
        cohort / "manifest.json",
        tmp_path / "run",
        overrides=objective_option(asked, BUNDLE, given),
        progress=lambda done, total, remark: told.append(remark),
    )
    header = (tmp_path / "run" / "training.csv").read_text().splitlines()[0]
    for name in ("Contrastive", "MaskedReconstruction", "Consistency"):
        assert f"loss/objective.{name}" in header
        assert f"{name} " in told[0]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert [entry["_target_"].rpartition(".")[2] for entry in config["objectives"]] == [
        "Contrastive",
        "MaskedReconstruction",
        "Consistency",
    ]
    assert config["objectives"][2]["weight"] == 10
    assert config["unlabelled"] is True


def test_a_training_that_was_cut_short_goes_on_with_what_objectives_and_rare_layers_learnt(cohort, tmp_path):
    asked = objective_option(["Contrastive"], BUNDLE, missing_option("SubsetEnsemble", BUNDLE, changes(cohort)))
    where = (BUNDLE, cohort / "manifest.json")
    whole = train(*where, tmp_path / "whole", overrides={**asked, "max_epochs": 2})

    def stop(done, total, remark):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*where, tmp_path / "cut", overrides={**asked, "max_epochs": 2}, progress=stop)
    again = train(*where, tmp_path / "cut", overrides={**asked, "max_epochs": 2})
    one, other = (torch.load(file, weights_only=True) for file in (whole, again))
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_segmentation_learns_from_marked_studies_alone():
    given = objective_option(["Contrastive"], "brain_mri_tumour_segmentation", {})
    assert given["unlabelled"] is False


def test_a_network_that_fuses_at_the_input_is_refused(cohort, tmp_path):
    asked = objective_option(["Contrastive"], BUNDLE, {**changes(cohort), "fuse_at": "input"})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - MONAI wraps it, as the command line knows
        train(BUNDLE, cohort / "manifest.json", tmp_path / "run", overrides=asked)
    assert sentence(caught.value).startswith("Contrastive reads deep features of each modality before it meets")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["Nonsense"], "There is no objective 'Nonsense'; there are Consistency, "),
        (["Contrastive(size=3)"], r"--objective Contrastive\(size=3\): there is no option size; it has temperature"),
        (["Consistency", "Consistency(drop=0.3)"], "--objective Consistency is given twice; give it once"),
        (["polyscan.fusion.Sum"], r"fusion\.Sum is no objective: it must derive from polyscan\.objectives\.Objective"),
    ],
)
def test_what_is_no_objective_is_refused(texts, said):
    with pytest.raises(PolyscanError, match=said):
        objective_option(texts, BUNDLE, {})


class Own(Objective):
    """An objective of a user's own, with an option."""

    def __init__(self, network, *, weight=1.0, share=0.5):
        super().__init__(network, weight=weight)


def test_an_objective_of_ones_own_is_named_by_its_path():
    path = f"{__name__}.Own"
    found = objective_option([f"{path}(share=0.2)", "Contrastive"], BUNDLE, {})["objectives"]
    assert found[0] == {"_target_": path, "network": "@network", "share": 0.2}
    assert found[1] == {"_target_": "polyscan.objectives.Contrastive", "network": "@network"}


@pytest.mark.parametrize("fragments", [["reports"], []])
def test_a_table_that_teaches_alone_is_not_read(fragments, tmp_path):
    bundle = bundle_folder(BUNDLE)
    config = {"inputs": ["clinical"], "table": None, "numeric": {"r0": [0, 1]}, "roi_size": [32, 40, 32]}
    (tmp_path / "mine.json").write_text('{"train": {"max_epochs": 1}}')
    settings = shared_settings(bundle, config, [*fragments, tmp_path / "mine.json"])
    named = {"fragments": fragments, "fragment_files": ["mine.json"]}
    assert settings == {**named, **{k: v for k, v in config.items() if k != "inputs"}}
    own = read_json(bundle / "configs" / "inference.json")
    read = {
        given["table"] is None: [ConfigParser(given).get_parsed_content(name) for name in ("inputs", "extra_keys")]
        for given in (own, {**own, **settings})
    }
    assert read == {False: [["clinical"], ["clinical"]], True: [[], []]}
    assert not ConfigParser({**own, **settings}).get_parsed_content("read_inputs").transforms


def test_inputs_that_a_training_chose_are_carried():
    assert shared_settings(bundle_folder(BUNDLE), {"inputs": []}) == {
        "fragments": [],
        "fragment_files": [],
        "inputs": [],
    }
