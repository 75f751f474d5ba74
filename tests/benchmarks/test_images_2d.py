"""Networks that are compared on slices are of one size, and each answers every task that it learns."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from images_2d import BUNDLE, JOINED, build, drifa, fragment, of_parameters, resnets

from polyscan.bundle.config import bundle_folder, read_config

TASKS = {"mri": ["glioma", "none"], "ct": ["benign", "malignant", "normal"]}


@pytest.mark.parametrize(
    "make",
    [partial(drifa, TASKS, True), *(partial(resnets, TASKS, layer) for layer in JOINED.values())],
    ids=["DRIFANet", *JOINED.values()],
)
def test_networks_are_of_one_size(make):
    definition = of_parameters(make, 60_000)
    net = build(definition).eval()
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(60_000, rel=0.1)
    slices = torch.randn(2, 2, 32, 32)
    slices[0, 1] = slices[1, 0] = torch.nan  # no patient has both
    assert net(slices).isfinite().all()
    assert net(slices).shape == (2, 5)
    read = read_config(bundle_folder(BUNDLE), "train", fragment(definition, TASKS, 32, 3)["train"])
    assert read["train"]["random_transforms"][3]["channels"] == 1
    assert read["max_epochs"] == 3
