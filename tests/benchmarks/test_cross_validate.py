"""Tables and slices of cohorts, from the part's files to answers of networks that have not seen the study."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cohorts import make
from cross_validate import cross_validate
from heart import frames_of, measure
from lesion import measured
from test_cohorts import acdc, lgg, multiomic, picai, pictures

from polyscan.baselines.tasks import tasks_of
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.run import infer, train
from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.files.resources import resource_folder
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

QUICK = {"max_epochs": 1, "val_interval": 1, "batch_size": 4}


@pytest.mark.parametrize(
    ("bundle_or_fragment", "cohort", "files", "absent"),
    [
        ("glioma_survival", "tcga_glioma_multiomic", multiomic, "expression"),
        ("picai_cspca", "picai_tables_glands", picai, "laboratory"),
        ("lgg_lesion", "lgg_mri", lgg, "T1"),
        ("lgg_genes", "lgg_mri", lgg, "expression"),
        ("acdc_diagnosis", "acdc_ed_es", acdc, "CINE@2"),
        ("drifa_multitask_classification", "images_2d", pictures, None),
    ],
)
def test_every_study_is_answered_for_with_any_subset(bundle_or_fragment, cohort, files, absent, tmp_path):
    make(cohort, files(tmp_path), tmp_path / "cohort", folds=2, jobs=1)
    manifest = tmp_path / "cohort" / "manifest.json"
    fragments = [] if (resource_folder("bundles") / bundle_or_fragment).is_dir() else [bundle_or_fragment]
    bundle = read_fragment_bundle(bundle_or_fragment) if fragments else bundle_or_fragment
    small = {"roi_size": [32, 32]} if cohort == "images_2d" else {}
    few = {} if "segmentation" in bundle else {"monte_carlo_samples": 2}
    (tmp_path / "few.json").write_text(json.dumps({"inference": few}))
    options = {"fragments": [*fragments, tmp_path / "few.json"], "settings": {**QUICK, **small}}
    answered = read_manifest(cross_validate(bundle, manifest, tmp_path / "cv", **options)).studies
    assert sorted(s.key for s in answered) == sorted(s.key for s in read_manifest(manifest).studies)
    for task in tasks_of(answered):
        if task.name in (answered[0].prediction.answers or {"mask": None}):
            assert all(task.of_network(study.prediction) is not None for study in task.studies)
    if absent is None:
        return
    weights = tmp_path / "cv" / "fold0" / "run" / "model.pt"
    before = weights.stat().st_mtime_ns
    less = read_manifest(cross_validate(bundle, manifest, tmp_path / "cv", **options, absent=[absent])).studies
    assert weights.stat().st_mtime_ns == before
    assert all(absent not in study.prediction.present for study in less)


def test_one_fold_alone_is_answered_for_by_the_others(tmp_path):
    make("picai_tables_glands", picai(tmp_path), tmp_path / "cohort", folds=3, jobs=1)
    manifest = tmp_path / "cohort" / "manifest.json"
    options = {"fragments": ["picai_cspca"], "settings": QUICK, "folds": [1]}
    answered = cross_validate("glioma_grading_classification", manifest, tmp_path / "cv", **options)
    (held_out,) = {s.fold for s in read_manifest(answered).studies}
    assert held_out == 1
    said = read_manifest(answered).studies[0].prediction
    assert said.present == ["laboratory", "gland", "clinical"]
    assert (said.model.spacing, said.model.roi_size) == ([], [])  # which a network of tables has not
    assert said.model.parts == ["VectorEncoder", "MulticlassHead"]
    assert {s.fold for s in read_manifest(tmp_path / "cv" / "fold1" / "train.json").studies} == {0, 2}
    assert not (tmp_path / "cv" / "fold0").exists()
    cross_validate("glioma_grading_classification", manifest, tmp_path / "cv", **{**options, "folds": [0]})
    assert {s.fold for s in read_manifest(answered).studies} == {0, 1}
    with pytest.raises(PolyscanError, match="has no fold 3; it has 0, 1, 2"):
        cross_validate("glioma_grading_classification", manifest, tmp_path / "cv", **{**options, "folds": [3]})


def test_hearts_of_a_part_without_masks_are_measured_by_a_network_of_another(tmp_path):
    part, groups = acdc(tmp_path)
    with np.load(part) as arrays:
        blind = {name: values for name, values in arrays.items() if name != "labels"}
    np.savez(tmp_path / "blind.npz", **{**blind, "patient": np.array([f"other{k}" for k in range(5)])})
    make("acdc_ed_es", [part, groups], tmp_path / "A", jobs=1)
    make("acdc_ed_es", [tmp_path / "blind.npz"], tmp_path / "B", jobs=1)
    for name in "AB":
        studies = read_manifest(tmp_path / name / "manifest.json").studies
        frames = [frame for study in studies for frame in frames_of(study, tmp_path / f"frames{name}")]
        write_manifest(tmp_path / f"frames{name}" / "manifest.json", Manifest(frames))
    bundle, changes = read_fragment_bundle("acdc_heart"), {**read_fragment("acdc_heart", "train"), **QUICK}
    train(bundle, tmp_path / "framesA" / "manifest.json", tmp_path / "run", overrides=changes)
    infer(bundle, tmp_path / "framesB" / "manifest.json", tmp_path / "out", weights=tmp_path / "run" / "model.pt")
    answers = {(s.subject, s.session): s for s in read_manifest(tmp_path / "out" / "manifest.json").studies}
    assert len(answers) == 10
    for study in measure(read_manifest(tmp_path / "B" / "manifest.json").studies, answers, tmp_path / "tables"):
        assert {"end_diastole", "end_systole", "change", "appearance"} <= set(study.scans)


def test_drawn_lesions_teach_and_those_of_a_network_are_answered_for_with_any_contrasts(tmp_path):
    make("lgg_mri", lgg(tmp_path), tmp_path / "cohort", folds=2, jobs=1)
    prepared = read_manifest(tmp_path / "cohort" / "manifest.json")
    found = {s.key: s.label.mask for s in prepared.studies}
    blank = tmp_path / "blank.nii.gz"
    write_nifti(blank, 0 * read_nifti(found["sub-TCGA0"]))
    for name, masks in {"drawn": {}, "network": found | {"sub-TCGA0": str(blank)}}.items():
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name / "manifest.json", measured(prepared, masks, tmp_path / name))
    options = {"fragments": ["lgg_molecular"], "settings": QUICK, "tested": tmp_path / "network" / "manifest.json"}
    drawn, bundle = tmp_path / "drawn" / "manifest.json", read_fragment_bundle("lgg_molecular")
    answered = read_manifest(cross_validate(bundle, drawn, tmp_path / "cv", **options)).testing
    said = {s.subject: s.prediction for s in answered}
    assert all("IDH" in each.answers for each in said.values())
    assert said["TCGA0"].present == ["lesion", "clinical"]
    assert said["TCGA3"].present == ["lesion", "lesion_T1", "lesion_FLAIR", "lesion_T1c", "clinical"]
    less = cross_validate(bundle, drawn, tmp_path / "cv", **options, absent=["lesion_T1c"])
    assert less == tmp_path / "cv" / "network-without-lesion_T1c" / "manifest.json"
    assert all("lesion_T1c" not in s.prediction.present for s in read_manifest(less).testing)
    weights = tmp_path / "cv" / "fold0" / "run" / "model.pt"
    alone = infer(bundle, tmp_path / "network" / "manifest.json", tmp_path / "out", weights=weights)  # no fragment
    again = {s.key: s.prediction.answers["IDH"].probabilities for s in alone.studies}
    assert all(s.prediction.answers["IDH"].probabilities == again[s.key] for s in answered if s.fold == 0)


def read_fragment_bundle(name):
    return read_json(resource_folder("configs") / "fragments" / f"{name}.json")["bundle"]


def test_a_fragment_is_a_file_with_sections(tmp_path):
    with pytest.raises(PolyscanError, match=r"no fragment that comes with polyscan: .*picai_cspca"):
        read_fragment("none", "train")
    (tmp_path / "f.json").write_text('{"max_epochs": 3}')
    with pytest.raises(PolyscanError, match="needs entries under shared, train, inference"):
        read_fragment(tmp_path / "f.json", "train")
    (tmp_path / "f.json").write_text('{"shared": {"a": 1, "b": 1}, "train": {"b": 2}, "inference": {"c": 3}}')
    assert read_fragment(tmp_path / "f.json", "train") == {"a": 1, "b": 2}
    assert read_fragment(tmp_path / "f.json", "inference") == {"a": 1, "b": 1, "c": 3}
