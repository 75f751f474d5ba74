"""``polyscan train --missing``: each strategy trains, and its weights answer without another option."""

from __future__ import annotations

import pytest

from polyscan.bundle import missing_rates
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.missing_option import missing_option
from polyscan.bundle.run import infer, train
from polyscan.errors import PolyscanError
from polyscan.phantom.tasks import find_task, write_task
from polyscan.study.made import prediction_of

BUNDLE = "glioma_grading_classification"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task") / "diagnosis"
    write_task(folder, find_task("diagnosis"), subjects=60, missing={"FLAIR": 0.5})
    return folder


def changes(cohort, config):
    return {**read_fragment("tables", config), **read_fragment(cohort / "task.json", config)}


@pytest.mark.parametrize("strategy", ["GenerativeImputation", "Distillation(drop=0.3)", "ModalityDropout(rise=0.5)"])
def test_a_strategy_trains_and_its_weights_answer(strategy, cohort, tmp_path):
    given = missing_option(strategy, BUNDLE, {**changes(cohort, "train"), "max_epochs": 1, "val_interval": 1})
    weights = train(BUNDLE, cohort / "manifest.json", tmp_path / "run", overrides=given)
    header = (tmp_path / "run" / "training.csv").read_text().splitlines()[0]
    assert ("imputation" in header) == (strategy == "GenerativeImputation")
    assert ("distillation.logits" in header) == strategy.startswith("Distillation")
    if strategy == "GenerativeImputation":
        told = {**changes(cohort, "inference"), "monte_carlo_samples": 2}
        told.pop("fusion")  # the weights carry it
        answers = infer(
            BUNDLE, cohort / "manifest.json", tmp_path / "out", weights=weights, absent=["T1"], overrides=told
        )
        assert len(answers.testing) == 12
        model = prediction_of(answers.testing[0]).model
        assert model.stands_in.startswith("features generated from the others stand in, and count less")


def test_a_strategy_goes_around_the_layer_of_each_level():
    layer = {"_target_": "polyscan.fusion.Mean", "_mode_": "callable"}
    one = missing_option("LearnedTokens", BUNDLE, {"fusion": layer})["fusion"]
    assert one == {"_target_": "polyscan.missing.LearnedTokens", "_mode_": "callable", "fusion": layer}
    levels = missing_option("LearnedTokens", BUNDLE, {"fusion": {"0": layer, "3": layer}})["fusion"]
    assert levels == {"0": one, "3": one}
    own = missing_option("MeanImputation(auxiliary_weights={'imputation': 0.5})", BUNDLE, {})["fusion"]
    assert own["fusion"]["_target_"] == "polyscan.fusion.Concatenation"
    assert own["auxiliary_weights"] == {"imputation": 0.5}


def test_dropout_sets_rates_and_how_long_they_rise():
    asked = missing_option("ModalityDropout(prob=[0.1, 0.5], rise=0.5)", BUNDLE, {"max_epochs": 3})
    assert asked == {"max_epochs": 3, "modality_dropout": [0.1, 0.5], "modality_dropout_rise": 0.5}
    own = missing_option("ModalityDropout", BUNDLE, {})
    assert own["modality_dropout"]["_target_"] == "polyscan.bundle.missing_rates"
    assert own["modality_dropout_rise"] == 0


def test_rates_are_those_of_the_training_studies(cohort):
    rates = missing_rates(cohort / "manifest.json", ["T1", "FLAIR"], ["class"])
    assert rates[0] == 0
    assert 0.3 < rates[1] < 0.7


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Nonsense", "There is no strategy 'Nonsense'; there are Disentanglement, .*ModalityDropout, Distillation"),
        (
            "LearnedTokens(size=3)",
            r"--missing LearnedTokens\(size=3\): there is no option size; it has auxiliary_weights",
        ),
        ("Distillation(prob=0.3)", "no option prob; it has drop, temperature, weights"),
        ("ModalityDropout(0.3)", "the options cannot be read"),
        ("ModalityDropout(drop=0.3)", "no option drop; it has prob, rise"),
    ],
)
def test_what_is_no_strategy_is_refused(text, sentence):
    with pytest.raises(PolyscanError, match=sentence):
        missing_option(text, BUNDLE, {})
