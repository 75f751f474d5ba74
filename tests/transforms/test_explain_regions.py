"""Which modality drove a mask: what is told of a network whose answer is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from polyscan.inference import WindowInferer, soft_dice_confidence
from polyscan.transforms import ExplainRegionsd

MODALITIES = ["T1", "T2", "FLAIR", "CT"]


class Weighted(nn.Module):
    """Logits of two regions, sums of the modalities that are there; the second region has no use for T2."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 2.0, -0.5, 1.0], [1.5, 0.0, 1.0, 1.0]]))

    def forward(self, image):
        return torch.einsum("rm,bmxyz->brxyz", self.weight, image.nan_to_num()) - 1.0


@pytest.fixture
def study():
    image = torch.rand(4, 20, 20, 20, generator=torch.Generator().manual_seed(3)) * 2 - 0.5
    image[3] = torch.nan  # never acquired
    return image


def confidences(network, image, marked, modalities):
    """How sure some of the modalities are of the masks that all gave."""
    read = torch.full_like(image, torch.nan)
    read[list(modalities)] = image[list(modalities)]
    return soft_dice_confidence(network(read[None])[0].sigmoid(), marked).numpy()


def test_each_scan_has_its_mean_part_over_all_orders_in_which_they_come(study):
    network = Weighted().eval()
    with torch.no_grad():
        logits = network(study[None])[0]
    marked = logits.sigmoid() >= 0.6
    regions = {"whole": [1], "core": [2]}
    explain = ExplainRegionsd("pred", network, MODALITIES, regions, 0.6, WindowInferer([16, 16, 16]))
    told = explain({"image": study, "pred": logits})["contributions"]
    expected = np.zeros((3, 2))
    with torch.no_grad():
        for order in permutations(range(3)):
            before = np.zeros(2)
            for k, modality in enumerate(order):
                after = confidences(network, study, marked, order[: k + 1])
                expected[modality] += (after - before) / 6
                before = after
    for column, region in enumerate(regions):
        parts = expected[:, column] / float(soft_dice_confidence(logits.sigmoid(), marked)[column])
        assert told[region] == pytest.approx(dict(zip(MODALITIES[:3], parts, strict=True)), abs=2e-4)
        assert sum(told[region].values()) == pytest.approx(1, abs=2e-4)
    assert told["whole"]["T2"] == max(told["whole"].values())
    assert told["core"]["T2"] < told["core"]["T1"]


def test_a_region_that_is_not_marked_has_none(study):
    network = Weighted().eval()
    logits = torch.stack([torch.ones(20, 20, 20), -torch.ones(20, 20, 20)])
    explain = ExplainRegionsd("pred", network, MODALITIES, {"whole": [1], "core": [2]}, 0.5, WindowInferer([-1] * 3))
    assert list(explain({"image": study, "pred": logits})["contributions"]) == ["whole"]
