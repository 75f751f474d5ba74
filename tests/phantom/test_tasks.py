"""Tasks with a known optimum: what is claimed to be the posterior is one, and the figures are those of the docs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.phantom.tasks import find_task, task_names
from polyscan.phantom.tasks.gaussian import GaussianTask
from polyscan.phantom.tasks.lesion import ENERGY, PLACES, evidence, images, matched

N, IMAGES = 3000, 1000


def subsets(task):
    sizes = range(1, len(task.modalities) + 1)
    return [subset for size in sizes for subset in combinations(task.modalities, size)]


def is_calibrated(p, y):
    """Whether p says as often as is true what y is: what every posterior does, and only it, in each band of p."""
    for k in range(p.shape[1]):
        for low in np.arange(0, 1, 0.2):
            band = (p[:, k] >= low) & (p[:, k] < low + 0.2)
            variance = (p[band, k] * (1 - p[band, k])).sum()
            if abs((y[band] == k).sum() - p[band, k].sum()) > 4.5 * np.sqrt(variance) + 1:
                return False
    return True


@pytest.mark.parametrize("name", task_names())
def test_the_posterior_is_one_for_every_subset(name):
    task = find_task(name)
    drawn = task.draw(IMAGES if task.is_image else N, seed=1)
    accuracy = {}
    for subset in subsets(task):
        p = task.posterior(drawn, subset)
        assert p.sum(1) == pytest.approx(np.ones(len(drawn.y)))
        assert is_calibrated(p, drawn.y), subset
        accuracy[subset] = task.accuracy(drawn, subset)
    assert max(accuracy.values()) - accuracy[tuple(task.modalities)] < 0.01
    assert accuracy[tuple(task.modalities)] > 0.8


@pytest.mark.parametrize("name", ["diagnosis", "counts"])
def test_a_posterior_that_is_wrong_would_be_found(name):
    task = find_task(name)
    drawn = task.draw(N, seed=1)
    assert not is_calibrated(task.posterior(drawn) ** 2 / (task.posterior(drawn) ** 2).sum(1, keepdims=True), drawn.y)


@pytest.mark.parametrize("name", [name for name in task_names() if isinstance(find_task(name), GaussianTask)])
def test_the_accuracy_is_that_of_the_formula(name):
    task = find_task(name)
    drawn = task.draw(N, seed=2)
    for subset in subsets(task):
        assert task.accuracy(drawn, subset) == pytest.approx(task.optimum(subset), abs=0.02)


def test_figures_that_the_field_quotes():
    task = find_task("diagnosis")
    figures = [task.optimum(task.modalities[:size]) for size in (4, 3, 1)]
    assert figures == pytest.approx([0.950, 0.923, 0.795], abs=5e-4)
    glioma = find_task("glioma_protocol")
    assert glioma.optimum() > 0.9
    assert max(glioma.optimum([name]) for name in glioma.modalities) < 0.75


@pytest.mark.parametrize("name", ["interaction", "coincidence", "coincidence_images"])
def test_what_no_modality_tells_alone(name):
    task = find_task(name)
    drawn = task.draw(N, seed=3)
    for modality in task.modalities:
        assert task.accuracy(drawn, [modality]) == pytest.approx(0.5, abs=0.03)


def test_images_reach_a_little_less_than_vectors_of_the_same_evidence():
    task, vectors = find_task("diagnosis_images"), find_task("diagnosis")
    drawn = task.draw(IMAGES, seed=2)
    for modalities in (task.modalities, task.modalities[1:], task.modalities[1:2]):
        p = task.posterior(drawn, modalities)
        assert vectors.optimum(modalities) - 0.04 < p.max(1).mean() < vectors.optimum(modalities) + 0.005


def test_lesions_lie_apart_and_are_found_where_they_were_moved():
    amplitudes = np.random.default_rng(0).standard_normal((3, len(PLACES)))
    shift = np.array([[0, 0], [-2, 1], [2, 2]])
    found = matched(images(amplitudes, shift), shift)
    assert found.shape == (3, 3, len(PLACES))
    assert found[range(3), range(3)] == pytest.approx(ENERGY * amplitudes)
    assert abs(found[0, 1] - ENERGY * amplitudes[0]).max() > 1


def test_the_evidence_of_a_lesion_is_that_of_numerical_integration():
    a = np.linspace(-12, 12, 4001)
    for g, mean in ((-7.0, 0.4), (0.0, 2.0), (30.0, 5.8)):
        density = np.exp(-((a - mean) ** 2) / 2) / np.sqrt(2 * np.pi)
        integral = (density * np.exp(g * a - ENERGY * a**2 / 2)).sum() * (a[1] - a[0])
        assert evidence(np.array(g), mean) == pytest.approx(np.log(integral), rel=1e-6)


def test_the_scan_before_tells_only_what_the_one_after_means():
    task = find_task("treatment_response")
    assert [task.optimum(["before"]), task.optimum()] == pytest.approx([0.5, 0.95], abs=0.01)
    assert task.optimum(["after"]) < 0.8


def test_being_missing_by_class_is_evidence():
    task = find_task("diagnosis")
    drawn = task.draw(N, seed=4, missing={"FLAIR": [0.1, 0.7], "T1": 0.3})
    assert is_calibrated(task.posterior(drawn), drawn.y)
    assert drawn.available.mean(0) == pytest.approx([0.7, 1, 1, 0.6], abs=0.03)
    blind = task.posterior(task.without(drawn, ["FLAIR"]))
    assert (
        (task.posterior(drawn, ["T1c"]).argmax(1) == drawn.y).mean()
        < task.accuracy(drawn)
        > (blind.argmax(1) == drawn.y).mean()
    )


def test_what_is_missing_changes_nothing_else():
    task = find_task("diagnosis")
    whole, part = task.draw(50, seed=5), task.draw(50, seed=5, missing={"T2": 0.5})
    there = part.available
    assert np.array_equal(whole.y, part.y)
    assert np.array_equal(whole.x[there], part.x[there])
    assert 5 < (~there[:, 2]).sum() < 45


@pytest.mark.parametrize("missing", [{"PET": 0.5}, {"T1": 1.5}, dict.fromkeys(("T1", "T1c", "T2", "FLAIR"), 1.0)])
def test_what_cannot_be_missing_is_refused(missing):
    with pytest.raises(PolyscanError, match="missing"):
        find_task("diagnosis").draw(10, seed=0, missing=missing)


@pytest.mark.parametrize(("name", "config"), [("interaction", "tables"), ("coincidence_images", "slices")])
def test_a_task_goes_through_training(name, config, tmp_path, capsys):
    cohort, run, out = tmp_path / "cohort", tmp_path / "run", tmp_path / "out"
    assert main(["phantom", str(cohort), "--task", name, "--subjects", "40"]) == 0
    assert "at best from CT + PET" in capsys.readouterr().out
    assert set(read_json(cohort / "optimum.json")) == {"CT", "PET", "CT + PET"}
    changes = ["--config", config, "--config", str(cohort / "task.json")]
    given = ["glioma_grading_classification", str(cohort / "manifest.json")]
    assert main(["train", *given, "-o", str(run), *changes, "--set", "max_epochs=1"]) == 0
    weights = ["--weights", str(run / "model.pt")]
    assert main(["infer", *given, "-o", str(out), *weights, "--without", "PET"]) == 0  # weights name the fragment
    assert len(read_json(out / "manifest.json")["testing"]) == 8


def test_a_task_of_another_name_and_options_of_heads_are_refused(tmp_path, capsys):
    assert main(["phantom", str(tmp_path / "a"), "--task", "xor"]) == 1
    assert "there are" in capsys.readouterr().err
    assert main(["phantom", str(tmp_path / "a"), "--task", "interaction", "--visits", "2"]) == 1
    assert "--visits" in capsys.readouterr().err
