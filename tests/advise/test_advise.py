"""Advice from a manifest to the command that it names."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from prepared import BUNDLES, make_manifest

from polyscan.advise import advise, describe_arrays, describe_manifest
from polyscan.advise.advice import choose
from polyscan.advise.candidates import CANDIDATES, place_of
from polyscan.advise.evidence import StoredCohort, StoredResult, alike, estimate, stored_cohorts
from polyscan.advise.rules import points_by_strategy, rules_for
from polyscan.advise.setting import setting_for
from polyscan.bundle.config import bundle_folder, open_config, read_config
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.items import training_items
from polyscan.cli import main
from polyscan.compare import read_protocol
from polyscan.compare.protocol import CONCATENATION
from polyscan.errors import PolyscanError
from polyscan.evaluation.missingness import dependences
from polyscan.formats.nifti import write_nifti
from polyscan.phantom.tasks import find_task, task_names, write_task
from polyscan.study import Label, Preparation, RegistrationRecord, Scan, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest


@pytest.fixture(scope="module")
def interaction(tmp_path_factory):
    folder = tmp_path_factory.mktemp("task") / "interaction"
    write_task(folder, find_task("interaction"), subjects=300, seed=5)
    return folder


def cohort(names=("T1", "FLAIR"), count=200, **changes):
    """Prepared studies with masks; ``changes`` of each study by its number."""
    studies = []
    for k in range(count):
        study = Study(str(k), scans={name: Scan(f"/{k}/{name}.nii.gz") for name in names})
        study.label = Label(mask=f"/{k}/mask.nii.gz", tasks={"grade": "low" if k % 2 else "high"})
        study.preparation = Preparation("brain_mri", names[0])
        studies.append(study)
    return studies


def places(description, **given):
    """Place to the highest points that rules expect of a strategy at it."""
    points = points_by_strategy(rules_for(description, **given))
    return {
        place: max(points[name] for name, strategy in CANDIDATES.items() if place_of(strategy) == place)
        for place in ("input", "single-level", "hierarchical", "attention", "output")
    }


def test_the_next_command_trains(interaction, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = interaction / "manifest.json"
    assert main(["advise", str(manifest), "-o", "advice"]) == 0
    said = capsys.readouterr().out
    told = json.loads((tmp_path / "advice" / "advice.json").read_text())
    assert (tmp_path / "advice" / "advice.txt").read_text() == said
    assert told["place"] != "output"  # separate answers stay at chance
    train, compare = told["commands"]
    assert f"  {train}\n" in said
    words = shlex.split(train)
    assert main([*words[1:], "--set", "max_epochs=1"]) == 0
    assert (tmp_path / "run" / "model.pt").is_file()
    protocol = read_protocol(shlex.split(compare)[2])
    assert told["strategy"] in {*protocol.strategies, CONCATENATION}


def test_scans_that_are_not_prepared_are_prepared_before_advice_is_followed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ward").mkdir()
    write_nifti("ward/scan.nii.gz", MetaTensor(torch.zeros(1, 8, 8, 8)))
    scans = {name: Scan(str(tmp_path / "ward/scan.nii.gz")) for name in ("T1", "FLAIR")}
    raw = [Study(one.subject, scans=scans, label=Label(tasks=one.label.tasks)) for one in cohort(count=20)]
    write_manifest("manifest.json", Manifest(training=raw))
    assert main(["advise", "manifest.json", "-o", "advice"]) == 0
    told = json.loads(Path("advice/advice.json").read_text())
    assert told["commands"] == [
        "polyscan prepare manifest.json -o prepared --protocol glioma_mri",
        "polyscan advise prepared/manifest.json -o advice --target grade",
    ]
    assert told["commands"][1] in capsys.readouterr().out


def test_advice_on_a_task_does_not_see_its_results(interaction):
    everything = advise(interaction / "manifest.json")
    without = advise(interaction / "manifest.json", leave_out=["interaction"])
    assert any(found.cohort.startswith("interaction") for found in everything.support)
    assert not any(found.cohort.startswith("interaction") for found in without.support)
    assert {CONCATENATION, "output mean", "CT alone", "PET alone"} < set(without.baselines)


def test_stored_results_hold_every_task_and_every_candidate():
    stored = stored_cohorts()
    assert {each.source for each in stored if each.made and each.described.tables} == {
        name for name in task_names() if not find_task(name).is_image
    }
    for each in stored:
        assert set(CANDIDATES) <= set(each.results) or (each.described.images and CONCATENATION in each.results)
        assert each.gain(CONCATENATION) == 0
        assert all(len(result.folds) == each.folds for result in each.results.values())
        assert np.mean(each.results[CONCATENATION].folds) == pytest.approx(each.results[CONCATENATION].auroc, abs=1e-4)


def test_results_on_images_count_for_images_and_leave_their_cohort_out():
    stored = [each for each in stored_cohorts() if each.described.images]
    sources = {each.source for each in stored}
    assert sources == {"misalignment_images", "coincidence_images", "diagnosis_images"}
    moved, aligned = (
        next(each for each in stored if bool(each.described.untrusted) is state) for state in (True, False)
    )
    assert alike(moved.described, aligned.described) < 0.01  # what lies on what decides what results are worth
    rules = rules_for(moved.described)
    with_it, _ = choose(moved.described, rules)
    without, support = choose(moved.described, rules, sorted(sources))
    points = {each.strategy: each for each in with_it}
    assert points["output mean"].points < points[CONCATENATION].points - 3
    # Worse within chance over folds: next to nothing of it can be expected again.
    at_input = "concatenation at the input"
    assert abs(points[at_input].evidence) < 0.2 * abs(moved.gain(at_input))
    assert not any(each.cohort in {known.name for known in stored} for each in support)
    assert {each.evidence for each in without} == {None}  # no vectors are like images


def test_results_overrule_rules_by_how_alike_cohorts_are():
    like = stored_cohorts()[0].described
    far = replace(like, patients=like.patients * 4096)
    results = {CONCATENATION: StoredResult(0.8, 0.7, (0.8, 0.8)), "gated sum": StoredResult(0.9, 0.6, (0.9, 0.9))}
    rules = {CONCATENATION: 1.0, "gated sum": 0.0}

    def best(described, **given):
        return estimate(like, rules, [StoredCohort("x", "x", True, 2, described, results)], **given)[0]

    assert alike(like, like) == 1
    assert best(like).strategy == "gated sum"
    assert best(like).points == pytest.approx((10 - 1) / 2)  # (rule -1 + 1 x 10 points) / (1 + 1)
    assert best(like, one_gone=True).strategy == CONCATENATION  # by what is left with one gone
    assert best(far).strategy == CONCATENATION


def test_points_are_over_concatenation_and_what_is_not_alike_supports_nothing():
    far = replace(stored_cohorts()[0].described, patients=2**40)
    estimates, support = choose(far, rules_for(far))
    points = {each.strategy: each.points for each in estimates}
    assert (points[CONCATENATION], support) == (0, [])
    assert max(points.values()) == estimates[0].points
    assert choose(stored_cohorts()[0].described, rules_for(far))[1][0].alike == 1


def test_gains_that_are_within_chance_are_expected_of_no_other_cohort():
    base = StoredResult(0.8, 0.7, (0.78, 0.80, 0.82))
    sure = StoredResult(0.9, 0.8, (0.88, 0.90, 0.92))
    some = StoredResult(0.84, 0.7, (0.80, 0.84, 0.88))
    none = StoredResult(0.81, 0.7, (0.74, 0.80, 0.89))
    each = {CONCATENATION: base, "sure": sure, "some": some, "none": none}
    stored = StoredCohort("x", "x", True, 3, stored_cohorts()[0].described, each)
    assert stored.expected_gain("sure") == pytest.approx(stored.gain("sure")) == pytest.approx(10)
    error = 2 * (1 / 3 + 1 / 2) ** 0.5  # of differences of 2, 4 and 6 points, with training sets that overlap
    assert stored.expected_gain("some") == pytest.approx(4 - error**2 / 4)
    assert stored.gain("none") > 0.5
    assert stored.expected_gain("none") == stored.expected_gain(CONCATENATION) == 0


def test_rules_of_the_guide():
    one_grid = describe_manifest(Manifest(training=cohort()), "grade")
    assert max(places(one_grid), key=places(one_grid).get) == "input"
    off = cohort()
    for study in off[:50]:
        study.preparation.registrations["FLAIR"] = RegistrationRecord(False, "low mutual information")
    assert places(describe_manifest(Manifest(training=off), "grade"))["input"] < 1
    often = cohort(("T1", "FLAIR", "T2"))
    for k, study in enumerate(often):
        del study.scans[("T1", "FLAIR", "T2")[k % 3]]
    gone = places(describe_manifest(Manifest(training=often), "grade"))
    assert max(gone, key=gone.get) == "output"
    assert places(one_grid, must_show=True)["attention"] > places(one_grid)["attention"]
    masks = places(describe_manifest(Manifest(training=cohort(("CT", "T1"))), "mask"))
    assert max(masks, key=masks.get) == "hierarchical"


def test_what_vanishes_at_test_asks_for_distillation():
    tested = cohort(count=40)
    for study in tested:
        del study.scans["FLAIR"]
    described = describe_manifest(Manifest(training=cohort(), testing=tested), "grade")
    assert described.vanishing == ["FLAIR"]
    points = points_by_strategy(rules_for(described))
    assert points["concatenation, distillation"] > points[CONCATENATION] > points["concatenation, not dropped out"]


def test_what_an_advice_rests_on_badly_is_said_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr("polyscan.advise.setting._grid", lambda studies: {"spacing": [6] * 3, "roi_size": [32] * 3})
    studies = cohort(count=80)
    trained, tested = studies[:60], studies[60:]
    for study in tested:
        del study.scans["FLAIR"]
    for study in studies:
        study.preparation = None
        study.scans["blood"] = Scan(str(tmp_path / "blood.json"))
        study.label.tasks["grade"] = "high" if int(study.subject) < 8 else "low"
    write_manifest(tmp_path / "m.json", Manifest(training=trained, testing=tested))
    assert advise(tmp_path / "m.json", target="grade").cautions == [
        "FLAIR: there in training, missing in nearly all studies for testing.",
        "The studies are not prepared: grids and registration are not known. Run polyscan prepare first.",
        "blood: tables beside images are read by no bundle, and were left out.",
        "Class high has 8 studies: differences between strategies will be chance.",
    ]


def test_missingness_that_depends_on_the_label_is_found_and_chance_is_not():
    chance = np.random.default_rng(0)
    by_label, by_chance = cohort(), cohort()
    for study in by_label:
        if chance.random() < (0.6 if study.label.tasks["grade"] == "high" else 0.1):
            del study.scans["FLAIR"]
    for study in by_chance:
        if chance.random() < 0.3:
            del study.scans["FLAIR"]
    (found,) = dependences(by_label, ["T1", "FLAIR"])
    assert (found.modality, found.on) == ("FLAIR", "label grade")
    assert found.rates["high"] > found.rates["low"]
    assert found.p < 0.01
    assert dependences(by_chance, ["T1", "FLAIR"]) == []


def test_a_test_of_missingness_finds_chance_as_rarely_as_it_says():
    found = 0
    for seed in range(30):
        chance = np.random.default_rng(seed)
        studies = cohort(count=40)
        for study in studies:
            if chance.random() < 0.4:
                del study.scans["FLAIR"]
        found += bool(dependences(studies, ["T1", "FLAIR"]))
    assert found <= 5  # of 30 at a level of 0.05: more has a probability below 0.01


def test_a_segmentation_gets_a_bundle_a_plan_and_entries_that_it_has(monkeypatch, tmp_path):
    monkeypatch.setattr("polyscan.advise.setting._mask_values", lambda studies: [1, 2, 4])
    studies = cohort(("T1", "T1c", "T2", "FLAIR"))
    described = describe_manifest(Manifest(training=studies), "mask")
    for name, strategy in CANDIDATES.items():
        setting = setting_for(described, strategy, studies)
        assert (setting.bundle, setting.plan) == ("brain_mri_tumour_segmentation", True), name
        file = tmp_path / "config.json"
        file.write_text(json.dumps(setting.config))
        config = read_config(bundle_folder(setting.bundle), "train", read_fragment(file, "train"))
        assert config["regions"]["whole tumour"] == [1, 2, 4]
        assert config["fusion"]["_target_"].endswith(strategy.fusion.rpartition(".")[2])


@pytest.mark.parametrize(
    ("bundle", "target", "clinical"),
    [
        ("drifa_multitask_classification", "mri", True),
        ("glioma_grading_classification", "grade", True),
        ("glioma_grading_classification", "grade", False),
        ("treatment_response_classification", "response", True),
    ],
)
def test_classes_of_images_get_a_bundle_that_answers_with_them(bundle, target, clinical, tmp_path):
    file = make_manifest(BUNDLES / bundle, tmp_path / "cohort")
    manifest = read_manifest(file)
    if not clinical:
        for study in manifest.studies:
            study.clinical.clear()
        write_manifest(file, manifest)
    advice = advise(file, target=target)
    assert advice.setting.bundle == bundle
    (tmp_path / "config.json").write_text(json.dumps(advice.setting.config))
    parser = open_config(bundle_folder(bundle), "train", read_fragment(tmp_path / "config.json", "train")).parser
    item, *_ = training_items(file, *(parser.get_parsed_content(name) for name in ("labels", "extra_keys")))
    image = parser.get_parsed_content("train#preprocessing")(item)["image"]
    answer = parser.get_parsed_content("network_def").eval()(image[None])
    assert answer.shape == (1, len(advice.cohort.classes))


def test_nothing_is_promised_where_no_bundle_learns_it():
    studies = cohort()
    for k, study in enumerate(studies):
        study.label = Label(tasks={"survival": {"time": k, "event": k % 2}})
    described = describe_manifest(Manifest(training=studies))
    assert described.task == "survival"
    assert setting_for(described, CANDIDATES[CONCATENATION], studies) is None


@pytest.mark.parametrize(
    ("change", "target", "said"),
    [
        (lambda study: None, None, "several labels"),
        (lambda study: None, "stage", "has a label 'stage'"),
        (lambda study: setattr(study, "label", Label()), None, "nothing to learn"),
        (lambda study: study.scans.pop("T1"), "grade", "nothing to fuse"),
    ],
)
def test_a_manifest_that_cannot_be_advised_on_is_refused(change, target, said):
    studies = cohort(count=4)
    for study in studies:
        change(study)
    with pytest.raises(PolyscanError, match=said):
        describe_manifest(Manifest(training=studies), target)


def made(name, subjects=600):
    """A made task of vectors, described."""
    task = find_task(name)
    drawn = task.draw(subjects, seed=3)
    return describe_arrays(drawn.x, drawn.y, np.arange(subjects), task.modalities)


def test_probes_tell_an_interaction_from_a_sum(interaction):
    found = describe_manifest(read_manifest(interaction / "manifest.json"))
    assert found.probes.within < 0.6 < found.probes.products
    assert found.probes.within_gain + found.probes.across_gain == pytest.approx(
        found.probes.products - found.probes.together
    )
    assert found.values == find_task("interaction").shape[0]


def test_what_must_be_read_together_decides_where_to_join():
    """Values of two modalities before any encoder; values of one modality in an encoder of its own."""
    across, within, neither = (made(name) for name in ("coincidence", "varying_reliability", "diagnosis"))
    gains = [(each.probes.across_gain, each.probes.within_gain) for each in (across, within, neither)]
    assert gains[0][0] > 0.1 > gains[0][1]
    assert gains[1][0] < 0.03 < gains[1][1]
    assert max(gains[2]) < 0.03
    assert places(across)["input"] > places(neither)["input"] > places(within)["input"]
    assert places(across)["output"] < places(within)["output"]
    assert places(across)["input"] == max(places(across).values())


def test_what_chance_gives_a_small_cohort_is_no_reason():
    """Three modalities that are alike and add up, 40 patients: simple models differ, and tell nothing of the cohort."""
    reasons = []
    for seed in range(1, 7):  # of 12 cohorts one, the first, has a reason
        chance = np.random.default_rng(seed)
        y = np.arange(40) % 2
        x = chance.normal(size=(40, 3, 4)) + 0.5 * y[:, None, None]
        found = describe_arrays(x, y, np.arange(40), ["T1", "T2", "FLAIR"])
        assert max(found.probes.alone.values()) > min(found.probes.alone.values())
        reasons += [rule.says for rule in rules_for(found) if "points" in rule.says]
    assert not reasons
    assert found.auroc_error == pytest.approx(np.sqrt(41 / (12 * 20 * 20)))


def test_a_layer_that_multiplies_is_for_what_is_not_always_there():
    """Where everything is there, fusion at the input sees all products, and no second point is given for them."""
    complete = made("interaction")
    often = replace(complete, missing=dict.fromkeys(complete.missing, 0.2))
    points, with_missing = (points_by_strategy(rules_for(each)) for each in (complete, often))
    assert points["concatenation at the input"] > points["low-rank bilinear"]
    assert with_missing["low-rank bilinear"] > with_missing["concatenation at the input"]


def test_modalities_are_left_out_in_training_where_more_is_missing_at_use():
    studies = cohort(("T1", "FLAIR", "T2"))
    for study in studies[:30]:
        del study.scans["FLAIR"]
    alike_at_use = describe_manifest(Manifest(training=studies), "grade")
    tested = cohort(("T1", "T2"), count=40)
    more_at_use = describe_manifest(Manifest(training=studies, testing=tested), "grade")
    assert [rule.points for rule in rules_for(alike_at_use) if rule.about == "missing"] == []
    assert -1 in [rule.points for rule in rules_for(more_at_use) if rule.about == "missing"]
    assert 1 in [rule.points for rule in rules_for(describe_manifest(Manifest(training=cohort()), "grade"))]
