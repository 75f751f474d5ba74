"""Every example in a docstring runs and prints what it says; what it may use without importing it stands here."""

from __future__ import annotations

import doctest
import importlib
from functools import partial
from pathlib import Path
from typing import Any

import monai.transforms
import nibabel
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from polyscan import fusion, learning, networks
from polyscan.fusion import table, temporal
from polyscan.phantom import make_cohort

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = sorted(
    ".".join(file.with_suffix("").relative_to(SOURCE).parts).removesuffix(".__init__")
    for file in SOURCE.rglob("*.py")
    if ">>> " in file.read_text()
)
NEEDS = {"polyscan.ensemble.canonical_projection": "cca_zoo"}


def namespace() -> dict[str, Any]:
    """Classes by their names, a network of two modalities with an image for it, features of studies with labels."""
    names = {
        name: getattr(room, name)
        for room in (monai.transforms, networks, learning, table, temporal, fusion)
        for name in dir(room)
        if not name.startswith("_")
    }
    generator = np.random.default_rng(0)
    network = networks.FusionNet(
        ["CT", "PET"], networks.UNetEncoder, [0, 1, 2, 3], fusion.AttentionWeighted, networks.SegmentationHead
    )
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4))
    return names | {
        "image": torch.randn(1, 2, 16, 16, 16),
        "features": generator.normal(size=(30, 2, 5)),
        "labels": np.arange(30) % 2,
        "network": network.eval(),
        "nifti": image,
        **{"LogisticRegression": LogisticRegression, "nibabel": nibabel, "np": np, "partial": partial, "torch": torch},
    }


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS.get(name, "torch"))
    monkeypatch.chdir(tmp_path)
    if name == "polyscan":
        make_cohort("ward", subjects=1, seed=7, missing=0, modalities=("T1c", "FLAIR"), jobs=1)
    module = importlib.import_module(name)
    result = doctest.testmod(module, globs={**namespace(), **vars(module)}, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
