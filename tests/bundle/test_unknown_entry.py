"""An option that a bundle cannot take is named, with what the bundle lacks and which bundles have it."""

from __future__ import annotations

import json

import pytest

from polyscan.bundle.config import bundle_folder, open_config, read_config
from polyscan.bundle.unknown_entry import OPTIONS, check_arguments
from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.study.manifest import Manifest, write_manifest


@pytest.mark.parametrize(
    ("bundle", "option", "instead"),
    [
        ("glioma_grading_classification", "--mirror", "petct_staging"),
        ("glioma_grading_classification", "--probabilities", "petct_staging"),
        ("glioma_survival", "--ignore-atypical", "petct_staging"),
    ],
)
def test_infer_names_the_option(bundle, option, instead, tmp_path, capsys):
    write_manifest(tmp_path / "manifest.json", Manifest())
    weights = bundle_folder(bundle) / "models" / "model.pt"
    command = ["infer", bundle, str(tmp_path / "manifest.json"), "-o", str(tmp_path / "out"), option]
    assert main([*command, "--weights", str(weights)]) == 1
    said = capsys.readouterr().err
    assert f"polyscan infer: {bundle} has no " in said
    assert f"; leave {option} away, or take a bundle that has it: " in said
    assert instead in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", OPTIONS)
def test_every_option_is_named_for_a_bundle_of_a_users_own(key, tmp_path):
    (tmp_path / "mine" / "configs").mkdir(parents=True)
    (tmp_path / "mine" / "configs" / "inference.json").write_text(json.dumps({"weights": "model.pt"}))
    (tmp_path / "mine" / "configs" / "metadata.json").write_text("{}")
    with pytest.raises(PolyscanError, match=rf"mine has no .*{key}.*; leave {OPTIONS[key][0]} away"):
        read_config(tmp_path / "mine", "inference", {key: True})


def test_a_misspelt_entry_of_a_users_own_bundle_is_refused(tmp_path):
    folder = tmp_path / "mine" / "configs"
    folder.mkdir(parents=True)
    content = {"network": "@hidden_size", "hidden_size": 8, "_note": "", "weights": "model.pt"}
    for more in ({}, {"my_own": 1}):
        (folder / "inference.json").write_text(json.dumps(content | more))
        assert read_config(tmp_path / "mine", "inference", {})["hidden_size"] == 8
    (folder / "inference.json").write_text(json.dumps(content | {"treshold": 0.3}))
    with pytest.raises(PolyscanError, match=r"mine has the entry 'treshold', which nothing reads; .* as threshold"):
        read_config(tmp_path / "mine", "inference", {})


def test_arguments_that_a_class_does_not_take_are_refused(tmp_path):
    made = {"_target_": "polyscan.transforms.LoadStudyd", "_disabled_": False, "kyes": "image"}
    content = {"steps": {"_target_": "monai.transforms.Compose", "transforms": ["@other", made]}}
    with pytest.raises(
        PolyscanError, match=r"LoadStudyd in configs/train.json of mine: there is no option kyes; it has"
    ):
        check_arguments(tmp_path / "mine", "train", content)
    for target, near in (("polyscan.transforms.LodStudyd", "as LoadStudyd"), ("nowhere.at.All", "or name the folder")):
        with pytest.raises(PolyscanError, match=f"{target} .* is not to be found; correct its name, {near}"):
            check_arguments(tmp_path / "mine", "train", {"network": {"_target_": target}})
    known = sorted((bundle_folder("petct_staging").parent).glob("*/configs/*.json"))
    for file in known:
        check_arguments(file.parents[1], file.stem, json.loads(file.read_text()))
    assert known


def test_an_entry_that_is_near_is_suggested():
    with pytest.raises(PolyscanError, match=r"no entry 'roi_sizes' to change; .* such as roi_size"):
        read_config(bundle_folder("petct_staging"), "inference", {"roi_sizes": [8, 8, 8]})


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("max_epochs", "ten", "a whole number of 1 or more"),
        ("max_epochs", 0, "a whole number of 1 or more"),
        ("max_epochs", 1.5, "a whole number of 1 or more"),
        ("batch_size", True, "a whole number of 1 or more"),
        ("seed", -1, "a whole number of 0 or more"),
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("overlap", 1, "a number from 0 to below 1"),
        ("modality_dropout", [0.1, 1.5], "a number from 0 to below 1 or a list of one for each modality"),
        ("spacing", 3, "a list of three numbers above 0, in mm"),
        ("spacing", [3, 3], "a list of three numbers above 0, in mm"),
        ("spacing", [0, 3, 3], "a list of three numbers above 0, in mm"),
        ("roi_size", 32, "a list of two or three whole numbers"),
        ("roi_size", [0, 16, 16], "a list of two or three whole numbers"),
        ("regions", {}, "a list of labels of the mask by name"),
        ("regions", {"lesion": []}, "a list of labels of the mask by name"),
        ("windows", {"PET": [5, 5]}, r"\[lowest, highest\] by name"),
        ("modalities", 3, "a list"),
        ("fold", "maybe", "a fold of the manifest, or all"),
    ],
)
def test_what_an_entry_cannot_be_is_refused(key, value, kind):
    with pytest.raises(PolyscanError, match=rf"{key} is {kind}.* in petct_staging/configs/train.json"):
        open_config(bundle_folder("petct_staging"), "train", {key: value})
    for expression in ("@batch_size", "$[1]", {"_target_": "polyscan.bundle.missing_rates"}):
        assert open_config(bundle_folder("petct_staging"), "train", {key: expression}).parser.get(key) == expression


@pytest.mark.parametrize(
    "changes",
    [
        {"modality_dropout": [0.1, 0.2]},
        {"roi_size": [112, 112], "inferer_roi_size": [-1, -1, -1], "windows": {}},
        {"regions": {"lesion": [1, 2]}, "max_epochs": 20.0, "warm_up": 0},
    ],
)
def test_what_an_entry_can_be_is_taken(changes):
    taken = read_config(bundle_folder("petct_staging"), "train", changes | {"overlap": 0})
    assert {name: taken.get(name) for name in changes} == changes


@pytest.mark.parametrize("command", ["infer", "train"])
def test_a_manifest_in_place_of_the_bundle_is_named(command, tmp_path, capsys):
    (tmp_path / "m.json").write_text("{}")
    words = [str(tmp_path / "m.json"), "brain_mri_tumour_segmentation", "-o", str(tmp_path / "out")]
    assert main([command, *words]) == 1
    assert "m.json is no bundle: it has no folder configs" in capsys.readouterr().err


def test_a_config_is_opened_without_a_word(caplog):
    open_config(bundle_folder("petct_staging"), "inference", {})
    assert not caplog.records  # MONAI warns that it was told to write no log file


def test_what_is_given_stays_as_it_was_for_the_next_fold():
    given = {"optimizer": {"_target_": "torch.optim.AdamW", "params": "$@train#network.parameters()", "lr": 0.1}}
    before = json.dumps(given)
    open_config(bundle_folder("petct_staging"), "train", given).parser.parse(True)
    assert json.dumps(given) == before
