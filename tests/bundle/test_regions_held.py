"""What is to be found in masks is there, and a window is large enough to learn from."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from prepared import BUNDLES, SMALL_BRAIN, make_manifest

from polyscan.bundle.regions import check_regions
from polyscan.bundle.run import infer, train
from polyscan.bundle.tried import TriedSegmentation
from polyscan.errors import PolyscanError
from polyscan.report.study_page import write_study_page
from polyscan.study.made import prediction_of
from polyscan.study.manifest import Manifest, read_manifest, write_manifest

BUNDLE = "brain_mri_tumour_segmentation"


def test_a_region_that_masks_number_otherwise_is_refused(tmp_path):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    studies = read_manifest(manifest).training
    check_regions(studies, {"whole": [1, 9]}, chosen=True)
    check_regions(studies, {"whole": [1, 2, 4], "rare": [9]}, chosen=True)  # of known labels only, it may not be there
    said = rf"No mask of {len(studies)} studies has a voxel of 'rare' \(labels 8, 9\), but .* of no region: 2, 4; set"
    with pytest.raises(PolyscanError, match=said):
        check_regions(studies, {"whole": [1], "rare": [8, 9]}, chosen=True)
    with pytest.raises(PolyscanError, match="'rare'"):
        train(BUNDLE, manifest, tmp_path / "run", overrides={"regions": {"rare": [9]}})
    assert not (tmp_path / "run").exists()


def test_a_label_that_the_bundle_knows_nothing_of_is_refused_until_regions_are_chosen(tmp_path):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    masks = [study.label.mask for study in read_manifest(manifest).training]
    image = nib.load(masks[-1])
    values = np.asanyarray(image.dataobj).copy()
    values[values == 4] = 3  # as in BraTS since 2024, whose 4 is a cavity: all regions of the bundle have voxels
    values[0, 0, 0] = 4
    nib.save(nib.Nifti1Image(values, image.affine), masks[-1])
    with pytest.raises(PolyscanError, match=r"no region of this bundle: 3, where whole .* is 1, 2, 4; .*set regions"):
        train(BUNDLE, manifest, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    found = read_manifest(manifest)
    answers = infer(BUNDLE, Manifest(testing=found.training[-2:]), tmp_path / "out")
    assert [prediction_of(study).stray_labels for study in answers.testing] == [[], [3]]
    said = "The true masks of 1 of the 2 studies have labels of no region (3), which count as background in the scores"
    assert any(told.startswith(said) for told in answers.cautions)
    page = write_study_page(answers.testing[1], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The true mask has labels of no region (3)" in page
    chosen = {"regions": {"lesion": [1, 2, 4]}, "max_epochs": 1, **SMALL_BRAIN}
    assert train(BUNDLE, manifest, tmp_path / "run", overrides=chosen).exists()


def test_masks_that_are_numbered_otherwise_calibrate_nothing(tmp_path):
    """Else an enhancing tumour would be said to be 0 ml, 9 times in 10."""
    found = read_manifest(make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort"))
    for study in found.training:
        image = nib.load(study.label.mask)
        values = np.asanyarray(image.dataobj)
        nib.save(nib.Nifti1Image(np.where(values == 4, 3, values), image.affine), study.label.mask)
    write_manifest(tmp_path / "m.json", Manifest(validation=found.training))
    weights = BUNDLES / BUNDLE / "models" / "model.pt"
    with pytest.raises(PolyscanError, match=r"has a voxel of 'enhancing tumour' \(labels 4\), .* of no region: 3; set"):
        TriedSegmentation(BUNDLES / BUNDLE, weights, tmp_path / "m.json", {}, str(tmp_path / "out"))


def test_what_a_part_of_a_bundle_refuses_is_raised_as_it_was_said(tmp_path):
    """Not as MONAI's RuntimeError that some expression of the config failed."""
    study = read_manifest(make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")).training[0]
    image = nib.load(study.label.mask)
    nib.save(nib.Nifti1Image(image.get_fdata() / 3, image.affine), study.label.mask)
    with pytest.raises(
        PolyscanError, match=rf"None of the 1 studies .* for: {study.key}: label holds values that are no"
    ):
        infer(BUNDLE, Manifest(testing=[study]), tmp_path / "out")


def test_regions_that_no_label_map_can_hold_are_refused_before_training(tmp_path):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    inside_first = {"enhancing tumour": [4], "whole tumour": [1, 2, 4]}
    with pytest.raises(PolyscanError, match=r"'enhancing tumour' \(4\) has no label that the region after it lacks"):
        train(BUNDLE, manifest, tmp_path / "run", overrides={"regions": inside_first})
    assert not (tmp_path / "run").exists()


def test_a_window_of_one_voxel_at_the_deepest_level_is_named(tmp_path):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    small = {
        "max_epochs": 1,
        "roi_size": [16, 16, 16],
        "fuse_at": [0],
        "network_def#encoder#channels": [2, 2, 2, 2, 2],
        "network_def#head#width": [2, 2, 2, 2],
    }
    with pytest.raises(PolyscanError, match=r"single voxel of a window.*; give a larger roi_size"):
        train(BUNDLE, manifest, tmp_path / "run", overrides=small)
