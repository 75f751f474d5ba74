"""Training on corrections: what it learns from, and that its weights answer only where they prove themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from polyscan.errors import PolyscanError
from polyscan.label_app.corrections import Correction
from polyscan.label_app.service import StudyService
from polyscan.label_app.sources import FolderStudies
from polyscan.label_app.training import Training, mask_score
from polyscan.label_app.weights import Weights
from polyscan.phantom import make_cohort
from polyscan.study.manifest import read_manifest

BRAIN = Path(__file__).resolve().parents[2] / "bundles" / "brain_mri_tumour_segmentation"


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    make_cohort(folder, subjects=3, seed=5, modalities=("T1c", "FLAIR"), missing=0.0)
    return folder


@pytest.fixture
def service(heads, tmp_path) -> StudyService:
    shutil.copytree(heads, tmp_path / "heads", ignore=shutil.ignore_patterns("derivatives"))
    return StudyService(FolderStudies(tmp_path / "heads"), [BRAIN])


@pytest.fixture
def trained(monkeypatch):
    """Training that ends with given weights at once; lists the manifests that it was given."""
    seen = []

    def given(change) -> list:
        def train(bundle, manifest, run, *, overrides, progress):
            seen.append(read_manifest(manifest))
            weights = torch.load(overrides["pretrained"], weights_only=True)
            progress(1, 2, "loss 0.5")
            run.mkdir(parents=True, exist_ok=True)
            last = {name: change(value) if value.is_floating_point() else value for name, value in weights.items()}
            torch.save(last, run / "last.pt")
            return run / "model.pt"

        monkeypatch.setattr("polyscan.label_app.training.runs.train", train)
        return seen

    return given


def test_labels_are_read_by_their_names_on_the_scan_they_were_drawn_on(service, tmp_path, trained):
    labels, drawn = {}, {}
    for key in ("sub-001", "sub-002", "sub-003"):
        scan = nibabel.load(service.find(key).study.scans["FLAIR"].path)
        drawn[key] = np.zeros(scan.shape, np.uint8)
        drawn[key][tuple(slice(n // 3, 2 * n // 3) for n in scan.shape)] = 7
        path = tmp_path / f"{key}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(drawn[key], scan.affine), path)
        labels[key] = Correction(path, drawn_on="FLAIR", labels={"enhancing tumour": 7})
    seen = trained(lambda value: value)
    told = Training(service, BRAIN.name).train(labels, {})
    (manifest,) = seen
    assert [study.key for study in manifest.training] == told["studies"]
    assert (len(manifest.training), len(manifest.validation)) == (2, 1)
    assert {study.key for study in manifest.studies} == labels.keys()
    for study in manifest.studies:
        mask, reference = (nibabel.load(p) for p in (study.label.mask, study.scans["T1c"].path))
        assert mask.shape == reference.shape
        np.testing.assert_allclose(mask.affine, reference.affine, atol=1e-4)
        values = np.asarray(mask.dataobj)
        assert set(np.unique(values)) == {0, 4}, "the bundle's number of an enhancing tumour"
        voxel, scan = abs(np.linalg.det(mask.affine[:3, :3])), nibabel.load(labels[study.key].path)
        drawn_volume = (drawn[study.key] > 0).sum() * abs(np.linalg.det(scan.affine[:3, :3]))
        assert (values > 0).sum() * voxel == pytest.approx(drawn_volume, rel=0.1)
    with pytest.raises(PolyscanError, match="0 subjects have a final label"):
        Training(service, BRAIN.name).train({key: Correction(tmp_path / "x.json") for key in labels}, {})


def test_weights_answer_where_they_are_not_worse_on_who_was_held_out_and_can_be_put_back(service, tmp_path, trained):
    labels = {}
    for key in ("sub-001", "sub-002", "sub-003"):  # what the weights that answer find is what is right
        path, _ = service.predict(BRAIN.name, service.find(key), tmp_path / key)
        labels[key] = Correction(path, drawn_on="T1c", labels=service.model(BRAIN.name).labels)
    training = Training(service, BRAIN.name)
    manifests = trained(torch.zeros_like)  # which finds nothing
    told = training.train(labels, {})
    (held_out,) = told["scores"]
    assert told["scores"][held_out]["before"] > 0.99 > told["scores"][held_out]["after"]
    assert (told["trained"], told["answering"]) == ("1", "bundle")
    assert told["best_metric"] > 0.99
    assert training.progress.read() == told, "viewers are told from another process"
    assert (told["epoch"], told["total_epochs"]) == (1, 2)
    assert training.weights.path() == BRAIN / "models" / "model.pt"
    trained(lambda value: value)
    told = training.train(labels, {})
    assert list(told["scores"]) == [held_out], "who was held out once is never trained on"
    assert (told["trained"], told["answering"]) == ("2", "2")
    assert held_out not in {study.key for manifest in manifests for study in manifest.training}
    assert training.weights.names == ["bundle", "1", "2"]
    volumes = {}
    for name in ("1", "2", "bundle"):
        training.weights.put(name)
        _, facts = service.predict(BRAIN.name, service.find("sub-001"), tmp_path / f"by_{name}")
        volumes[name] = facts["millilitres"]
    assert volumes["2"] == volumes["bundle"] != volumes["1"]
    with pytest.raises(PolyscanError, match="no weights '7'; there are bundle, 1, 2"):
        training.weights.put("7")


def test_who_is_held_out(tmp_path):
    weights = Weights(tmp_path, tmp_path / "own.pt")
    (tmp_path / "new.pt").touch()
    with pytest.raises(PolyscanError, match="1 subjects have a final label"):
        weights.split(["a", "a"])
    training, held_out = weights.split("abcdefgh")
    assert len(held_out) == 2
    assert sorted(training + held_out) == list("abcdefgh")
    weights.add(tmp_path / "new.pt", {}, training, held_out)
    _, still = weights.split("abcdefghijkl")
    assert set(held_out) <= set(still)
    assert not set(still) & set(training)
    assert len(still) == 3
    with pytest.raises(PolyscanError, match="never trained on"):
        weights.split(training)


def test_the_score_of_a_mask_is_the_mean_dice_of_its_labels(tmp_path):
    found, true = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    found[0], true[0, :2] = 1, 1  # Dice 2 * 8 / (16 + 8)
    true[1] = 2  # not found
    for name, mask in (("found", found), ("true", true)):
        nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / f"{name}.nii.gz")
    score = mask_score(tmp_path / "found.nii.gz", tmp_path / "true.nii.gz", [1, 2, 4])
    assert score == pytest.approx((2 / 3 + 0 + 1) / 3)
