"""A prepared cohort small enough to run every config of a bundle on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from polyscan.io.manifest import Manifest, write_manifest
from polyscan.io.nifti import write_nifti
from polyscan.study import Study

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
NAMES = sorted(path.name for path in BUNDLES.iterdir() if path.is_dir())


@pytest.fixture(params=NAMES)
def bundle(request) -> Path:
    return BUNDLES / request.param


@pytest.fixture
def manifest(bundle, tmp_path) -> Path:
    """Seven studies of noise with a bright block; one lacks a modality, one has no label."""
    config = json.loads((bundle / "configs" / "inference.json").read_text())
    spacing = [-float(s) for s in config["spacing"][:2]] + [float(config["spacing"][2]), 1.0]
    affine = torch.diag(torch.tensor(spacing, dtype=torch.float64))
    values = sorted({v for region in config["regions"].values() for v in region})
    generator = torch.Generator().manual_seed(0)
    studies = []
    for number in range(7):
        study = Study(f"{number}", extra={"reference": config["modalities"][0]})
        label = torch.zeros(1, 20, 24, 20, dtype=torch.uint8)
        for depth, value in enumerate(reversed(values)):
            label[0, 4 + depth : 16 - depth, 6 + depth : 16 - depth, 5 + depth : 15 - depth] = value
        for modality in config["modalities"]:
            image = torch.randn(label.shape, generator=generator) + 2 * (label > 0)
            image[:, :2] = float("nan")
            study.images[modality] = str(tmp_path / f"{number}_{modality}.nii.gz")
            write_nifti(study.images[modality], MetaTensor(image, affine=affine))
        study.label["mask"] = str(tmp_path / f"{number}_label.nii.gz")
        write_nifti(study.label["mask"], MetaTensor(label, affine=affine))
        studies.append(study)
    del studies[6].images[config["modalities"][0]]
    studies[5].label.clear()
    path = tmp_path / "manifest.json"
    write_manifest(path, Manifest(training=studies[:3], validation=studies[3:5], testing=studies[5:]))
    return path
