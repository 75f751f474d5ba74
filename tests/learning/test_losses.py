"""Class weights and the focal exponent, beside torch's cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from polyscan.learning import MulticlassLoss

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
