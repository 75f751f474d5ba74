from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.bundle import items
from polyscan.errors import PolyscanError
from polyscan.evaluation import region_scores
from polyscan.formats.nifti import write_nifti
from polyscan.study import Label, RegionScore, Scan, Study
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.transforms import LoadMaskd, LoadStudyd, ScaleModalitiesd
from polyscan.transforms.regions import RegionsFromLabeld, label_map

GLIOMA = {"whole tumour": [1, 2, 4], "tumour core": [1, 4], "enhancing tumour": [4]}


@pytest.fixture
def files(tmp_path):
    made = {}
    for value, name in enumerate(("T1", "T2", "other"), start=1):
        shape = (1, 4, 5, 6) if name != "other" else (1, 4, 5, 7)
        made[name] = str(tmp_path / f"{name}.nii.gz")
        write_nifti(made[name], MetaTensor(torch.full(shape, float(value)), affine=torch.eye(4)))
    return made


def test_absent_is_nan_and_order_is_the_bundles(files):
    load = LoadStudyd("image", ["FLAIR", "T2", "T1"])
    image = load({"study": "sub-1", "image": {"T1": files["T1"], "T2": files["T2"]}})["image"]
    assert image.shape == (3, 4, 5, 6)
    assert image[0].isnan().all()
    assert (image[1] == 2).all()
    assert (image[2] == 1).all()
    assert image.meta["filename_or_obj"] == "sub-1"
    without = LoadStudyd("image", ["T2", "T1"], absent=["T2"])
    assert without({"study": "sub-1", "image": files})["image"][0].isnan().all()


def test_what_does_not_fit_is_named(files):
    load = LoadStudyd("image", ["T1", "T2"])
    with pytest.raises(PolyscanError, match="sub-1 has CT; expected at least one of T1, T2"):
        load({"study": "sub-1", "image": {"CT": files["T1"]}})
    with pytest.raises(PolyscanError, match=r"sub-1: T2 has another grid \(\[4, 5, 7\] voxels\)"):
        load({"study": "sub-1", "image": {"T1": files["T1"], "T2": files["other"]}})
    study = load({"study": "sub-1", "image": {"T1": files["T1"]}, "label": files["other"]})
    with pytest.raises(PolyscanError, match="sub-1: label has another grid"):
        LoadMaskd("label")(study)
    beside = files["T1"].replace("T1", "beside")
    write_nifti(beside, MetaTensor(torch.ones(1, 4, 5, 6), affine=torch.diag(torch.tensor([1, 1, 2, 1]))))
    with pytest.raises(PolyscanError, match=r"T2 has another place or size of its voxels \("):
        load({"study": "sub-1", "image": {"T1": files["T1"], "T2": beside}})
    write_nifti(beside, MetaTensor(torch.full((1, 4, 5, 6), 0.5), affine=torch.eye(4)))
    with pytest.raises(PolyscanError, match="sub-1: label holds values that are no whole numbers"):
        LoadMaskd("label")(load({"study": "sub-1", "image": {"T1": files["T1"]}, "label": beside}))
    with pytest.raises(PolyscanError, match="PET cannot be left out"):
        LoadStudyd("image", ["T1"], absent=["PET"])
    with pytest.raises(PolyscanError, match="All of T1, PET are left out"):
        LoadStudyd("image", ["T1", "PET"], absent=["PET", "T1"])
    with pytest.raises(PolyscanError, match=r"To be left out is 'T1'; give a list of names: \['T1'\]"):
        LoadStudyd("image", ["T1", "PET"], absent="T1")
    for item in ({"image": files}, {"study": "sub-1", "image": files["T1"]}):
        with pytest.raises(PolyscanError, match="names its study, and under image the file of each modality"):
            load(item)


def test_windows_map_to_one_and_clip():
    image = torch.tensor([[-500.0, -250, 0, 250, 900], [1, 2, 3, float("nan"), 5]])
    scale = ScaleModalitiesd("image", ["CT", "T1"], {"CT": [-250, 250]})
    out = scale({"image": image})["image"]
    assert out[0].tolist() == [-1, -1, 0, 1, 1]
    np.testing.assert_array_equal(out[1], image[1])
    assert image[0, 0] == -500


SCANS = {"T1": Scan("T1.nii.gz")}


def test_sections(tmp_path, caplog):
    studies = [Study(f"{k:02d}", scans=SCANS, label=Label("m" if k % 2 else None)) for k in range(20)]
    write_manifest(tmp_path / "a.json", Manifest(training=studies))
    train, valid = items.training_items(tmp_path / "a.json"), items.validation_items(tmp_path / "a.json")
    assert len(train) == 9
    assert [v["study"] for v in valid] == ["sub-01"]
    assert len(items.inference_items(tmp_path / "a.json")) == 20
    assert len(items.testing_items(tmp_path / "a.json")) == 10
    assert "no study in its section testing" in caplog.text
    caplog.clear()
    write_manifest(tmp_path / "b.json", Manifest(training=studies[:3], testing=studies[3:]))
    with pytest.raises(PolyscanError, match="1 subjects with a label \\(mask\\) to train on, and 9 in testing; "):
        items.training_items(tmp_path / "b.json")
    assert len(items.inference_items(tmp_path / "b.json")) == 17
    assert len(items.testing_items(tmp_path / "b.json")) == 9
    assert not caplog.text


@pytest.mark.parametrize(
    ("alike", "differing"),
    [({"grade": 2}, {"grade": 4}), ({"survival": {"time": 3, "event": 0}}, {"survival": {"time": 2, "event": 1}})],
)
def test_nothing_is_learnt_from_one_class_or_without_an_event(alike, differing):
    studies = [Study(f"{k}", scans=SCANS, label=Label(tasks=alike)) for k in range(4)]
    with pytest.raises(PolyscanError, match="one class only, or no event"):
        items.training_items(Manifest(training=studies), list(alike))
    studies[2] = Study("2", scans=SCANS, label=Label(tasks=differing))
    assert len(items.training_items(Manifest(training=studies), list(alike))) == 3


def test_items_of_a_classification_carry_what_was_asked_for(tmp_path):
    known = ({"grade": 2}, {"grade": 4, "IDH": "mutated"}, {"IDH": "wildtype"})
    labels = [*(Label(tasks=tasks) for tasks in known), Label("m")]
    studies = [
        Study(f"{k}", scans=SCANS, label=label, clinical={"age": k}, days=[0, k]) for k, label in enumerate(labels)
    ]
    write_manifest(tmp_path / "a.json", Manifest(training=studies))
    every = [
        f(tmp_path / "a.json", ["grade", "IDH"], ["clinical", "days"])
        for f in (items.training_items, items.validation_items)
    ]
    assert sorted(item["study"] for items in every for item in items) == ["sub-0", "sub-1", "sub-2"]
    assert every[0][0]["clinical"] == {"age": 1}
    assert every[0][0]["days"] == [0, 1]
    assert [len(items.testing_items(tmp_path / "a.json", [name])) for name in ("grade", "IDH", "mask")] == [2, 2, 1]


def test_regions_and_labels_are_each_others_inverse():
    label = torch.randint(0, 4, (1, 6, 6, 6))
    label[label == 3] = 4
    regions = RegionsFromLabeld("label", GLIOMA)({"label": label})["label"]
    assert regions.shape == (3, 6, 6, 6)
    assert torch.equal(regions[0] > 0, label[0] > 0)
    assert torch.equal(regions[2] > 0, label[0] == 4)
    assert torch.equal(label_map(regions, GLIOMA).long(), label[0])
    child = {"whole": [1, 2, 3, 4], "core": [1, 2, 3], "enhancing": [1]}  # a core of several parts, as in children
    assert label_map(torch.tensor([[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0]]), child).tolist() == [4, 2, 1, 0]
    with pytest.raises(PolyscanError, match=r"'core' \(1\) has no label that the region after it lacks"):
        label_map(regions[:2], {"core": [1], "whole": [1, 2]})


def test_labels_of_no_region_are_said_where_they_count_as_background():
    """A mask of BraTS since 2023, whose 3 is the enhancing tumour, beside regions of before."""
    turn, label = RegionsFromLabeld("label", GLIOMA), torch.tensor([[[[0, 1, 2, 3, 3]]]])
    with pytest.warns(UserWarning, match=r"labels of no region \(3\), which count as background"):
        turn({"label": label})
    noted = turn({"label": label, "stray_labels": []})
    assert noted["stray_labels"] == [3]
    assert turn({"label": label.clamp(max=2), "stray_labels": []})["stray_labels"] == []


def test_scores():
    prediction, truth = torch.zeros(3, 4, 4, 4), torch.zeros(3, 4, 4, 4)
    prediction[0, :2], truth[0, 1:3] = 1, 1
    prediction[2, 0] = 1
    image = MetaTensor(prediction, affine=torch.diag(torch.tensor([2.0, -5.0, 10.0, 1.0])))
    scores = region_scores(image, truth, GLIOMA)
    assert scores["whole tumour"] == RegionScore(0.5, pytest.approx(3.2), pytest.approx(3.2), 2.0, 1.0)
    assert scores["tumour core"].dice is None
    assert scores["enhancing tumour"] == RegionScore(None, pytest.approx(1.6), 0)


def sessions(subject, count):
    return [Study(f"{subject:02d}", str(s), SCANS, label=Label("y")) for s in range(count)]


def test_validation_is_of_other_subjects(tmp_path):
    manifest = tmp_path / "m.json"
    write_manifest(manifest, Manifest(training=[s for n in range(25) for s in sessions(n, 1 + n % 3)]))
    training, validation = items.training_items(manifest), items.validation_items(manifest)
    first, second = ({item["study"].split("_")[0] for item in items} for items in (training, validation))
    assert not first & second
    assert (len(first), len(second)) == (22, 3)
    assert len(training) + len(validation) == sum(1 + n % 3 for n in range(25))
    every = items.training_items(manifest, fold="all")
    assert len(every) == len(training) + len(validation)
    assert all(item in every for item in [*training, *validation])
    write_manifest(manifest, Manifest(training=sessions(1, 5)))
    with pytest.raises(PolyscanError, match="has 1 subjects with a label"):
        items.training_items(manifest)


def of_fold(subjects, fold):
    return [replace(study, fold=fold) for subject in subjects for study in sessions(subject, 2)]


def test_a_fold_of_the_manifest_is_watched_or_none_is_left_out():
    unlabelled = replace(Study("03", "9"), fold=None)
    manifest = Manifest([*of_fold((1, 2), 0), *of_fold((3,), 1), unlabelled], of_fold((4,), 1))

    def told(fold):
        learnt = items.training_items(manifest, unlabelled=True, fold=fold)
        watched = items.validation_items(manifest, fold=fold)
        return ({item["study"].split("_")[0].removeprefix("sub-") for item in each} for each in (learnt, watched))

    assert [*told(1)] == [{"01", "02"}, {"03", "04"}]
    assert [*told(0)] == [{"03", "04"}, {"01", "02"}]
    assert [*told(None)] == [{"01", "02", "03"}, {"04"}]
    assert [*told("all")] == [{"01", "02", "03", "04"}, {"04"}]
    with pytest.raises(PolyscanError, match="has no fold 2: those of its studies with a label are 0, 1"):
        items.training_items(manifest, fold=2)
    with pytest.raises(PolyscanError, match="has no fold 0: it has no folds"):
        items.training_items(Manifest(sessions(1, 1) + sessions(2, 1)), fold=0)
    alone = Manifest(validation=[*manifest.training[:6], *manifest.validation])
    learnt = [items.training_items(alone, fold=fold) for fold in (0, 1, "all")]
    assert [len(each) for each in learnt] == [4, 4, 8], "which section they stand in does not matter"
    assert len(items.labelled_studies(alone)) == 8
    with pytest.raises(PolyscanError, match="are watched, in validation or in a fold; leave some"):
        items.training_items(alone)
    manifest.training[1].fold = 1
    with pytest.raises(PolyscanError, match="sub-01 is in two folds"):
        items.validation_items(manifest, fold=1)


@pytest.mark.parametrize("ask", [items.training_items, items.validation_items, items.testing_items])
def test_a_subject_in_two_sections_is_refused(tmp_path, ask):
    manifest = tmp_path / "m.json"
    one, two = sessions(1, 2)
    write_manifest(manifest, Manifest(training=[one, *sessions(2, 1)], testing=[two]))
    with pytest.raises(PolyscanError, match="has sub-01 in the sections 'training' and 'testing'"):
        ask(manifest)
    assert [item["study"] for item in items.inference_items(manifest)] == [two.key]
