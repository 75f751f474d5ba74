"""Class weights and the focal exponent beside torch's cross-entropy, regions beside MONAI's loss of each."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss
from torch.nn import functional

from polyscan.learning import MulticlassLoss, RegionLoss

TASKS = {"grade": ["2", "3", "4"], "IDH": ["no", "yes"]}


@pytest.fixture
def rows():
    torch.manual_seed(0)
    return torch.randn(6, 5), torch.tensor([[0.0, 1], [1, 0], [2, 0], [2, float("nan")], [0, 1], [1, 0]])


def test_weights_are_those_of_cross_entropy(rows):
    logits, target = rows
    known = target[:, 1].isfinite()
    weights = {"IDH": [1.0, 3.0]}
    expected = functional.cross_entropy(logits[:, :3], target[:, 0].long()) + functional.cross_entropy(
        logits[known, 3:], target[known, 1].long(), weight=torch.tensor(weights["IDH"])
    )
    assert float(MulticlassLoss(TASKS, weights)(logits, target)) == pytest.approx(float(expected), rel=1e-5)


def test_sure_answers_count_less_with_a_focal_exponent(rows):
    logits, target = rows
    p = logits[:, :3].softmax(1)[range(6), target[:, 0].long()]
    loss = MulticlassLoss({"grade": TASKS["grade"]}, focal=2)
    assert float(loss(logits[:, :3], target[:, :1])) == pytest.approx(float(-((1 - p) ** 2 * p.log()).mean()), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"sex": [1, 1]}, {"IDH": [1, 2, 3]}])
def test_weights_of_other_classes_are_refused(wrong):
    with pytest.raises(ValueError, match="one weight a class"):
        MulticlassLoss(TASKS, wrong)


@pytest.mark.parametrize("batch", [True, False])
def test_regions_that_overlap_are_each_learnt_as_if_alone(batch):
    torch.manual_seed(0)
    logits, regions = torch.randn(2, 3, 4, 4, 4), (torch.rand(2, 3, 4, 4, 4) > 0.7).float()
    regions[:, 1] *= regions[:, 0]
    regions[:, 2] *= regions[:, 1]
    alone = DiceCELoss(sigmoid=True, batch=batch, smooth_nr=1e-5, smooth_dr=1e-5)
    each = [alone(logits[:, k : k + 1], regions[:, k : k + 1]) for k in range(3)]
    assert float(RegionLoss(batch=batch)(logits, regions)) == pytest.approx(float(sum(each)) / 3, rel=1e-5)


def test_where_no_region_is_every_logit_falls():
    logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    RegionLoss(dice=0)(logits, torch.zeros(1, 3, 2, 2, 2)).backward()
    assert bool((logits.grad > 0).all())
