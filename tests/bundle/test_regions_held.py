"""What is to be found in masks is there, and a window is large enough to learn from."""

from __future__ import annotations

import pytest
from prepared import BUNDLES, make_manifest

from polyscan.bundle.regions import check_regions
from polyscan.bundle.run import train
from polyscan.errors import PolyscanError
from polyscan.study.manifest import read_manifest

BUNDLE = "brain_mri_tumour_segmentation"


def test_a_region_that_masks_number_otherwise_is_refused(tmp_path):
    manifest = make_manifest(BUNDLES / BUNDLE, tmp_path / "cohort")
    studies = read_manifest(manifest).training
    check_regions(studies, {"whole": [1, 9]})
    check_regions(studies, {"whole": [1, 2, 4], "rare": [9]})  # of labels that are all known, it may not be there
    said = rf"No mask of {len(studies)} studies has a voxel of 'rare' \(labels 8, 9\), but .* of no region: 2, 4; set"
    with pytest.raises(PolyscanError, match=said):
        check_regions(studies, {"whole": [1], "rare": [8, 9]})
    with pytest.raises(PolyscanError, match="'rare'"):
        train(BUNDLE, manifest, tmp_path / "run", overrides={"regions": {"rare": [9]}})
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
