"""What is distilled, and by which terms."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from polyscan.fusion import Concatenation
from polyscan.learning import MulticlassLoss, OneHotTasks, RegionLoss, WithDistillation
from polyscan.learning.distillation import random_subset
from polyscan.networks import FusionNet, MulticlassHead, SegmentationHead, UNetEncoder, VectorEncoder

TASKS = {"grade": ["2", "3", "4"], "IDH": ["no", "yes"]}


def vectors():
    torch.manual_seed(0)
    encoder = partial(VectorEncoder, size=5, channels=(8,))
    head = partial(MulticlassHead, tasks=TASKS, dropout=0.0)
    return FusionNet(["a", "b", "c"], encoder, [0], Concatenation, head, spatial_dims=1)


def test_a_subset_keeps_one_and_nothing_that_is_absent():
    torch.manual_seed(0)
    available = torch.rand(2000, 4) < 0.6
    available[:, 1] |= ~available.any(1)
    subset = random_subset(available, 0.5)
    assert subset.any(1).all()
    assert not (subset & ~available).any()
    complete = available.sum(1) >= 3
    assert abs(float(subset[complete].sum() / available[complete].sum()) - 0.5) < 0.05
    assert torch.equal(random_subset(available, 0.0), available)


def test_nothing_is_to_be_distilled_where_nothing_is_dropped():
    training = WithDistillation(vectors(), OneHotTasks(TASKS), MulticlassLoss(TASKS), drop=0.0)
    target = torch.tensor([[0.0, 1.0], [2.0, float("nan")], [1.0, 0.0]])
    logits, losses = training(torch.randn(3, 3, 5), target)
    assert logits.shape == (3, 5)
    assert set(losses) == {f"distillation.{name}" for name in ("full", "logits", "features", "prototypes")}
    for name in ("logits", "features", "prototypes"):
        assert abs(float(losses[f"distillation.{name}"].detach())) < 1e-6
    torch.testing.assert_close(losses["distillation.full"], MulticlassLoss(TASKS)(logits, target))


def test_logits_term_is_the_divergence_of_softened_probabilities():
    training = WithDistillation(vectors(), OneHotTasks({"g": ["0", "1", "2"]}), MulticlassLoss({"g": ["0", "1", "2"]}))
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(training._softened(student, teacher), expected)


def test_teaching_moves_the_student_alone():
    network = vectors()
    training = WithDistillation(
        network, OneHotTasks(TASKS), MulticlassLoss(TASKS), drop=0.6, weights={"full": 0.0, "features": 1.0}
    )
    torch.manual_seed(3)
    _, losses = training(torch.randn(16, 3, 5), torch.randint(2, (16, 2)).float())
    for name in ("logits", "features", "prototypes"):
        (gradient,) = torch.autograd.grad(
            losses[f"distillation.{name}"], network.body.encoders[0].stages[0].layers[1].weight, retain_graph=True
        )
        assert gradient.abs().sum() > 0, name


def test_regions_are_distilled_as_binary_ones():
    torch.manual_seed(0)
    net = FusionNet(
        ["a", "b"],
        partial(UNetEncoder, channels=(4, 8)),
        [0, 1],
        Concatenation,
        partial(SegmentationHead, width=(4,)),
        spatial_dims=2,
    )
    training = WithDistillation(net, None, RegionLoss(), drop=0.5)
    logits, losses = training(torch.randn(4, 2, 8, 8), torch.randint(2, (4, 1, 8, 8)).float())
    assert logits.shape == (4, 1, 8, 8)
    assert set(losses) == {f"distillation.{name}" for name in ("full", "logits", "features")}
    assert float(losses["distillation.logits"].detach()) > 0
    sum(losses.values()).backward()


def test_what_is_no_term_or_probability_is_refused():
    with pytest.raises(ValueError, match="no term nonsense; its terms are full, logits, features, prototypes"):
        WithDistillation(vectors(), None, RegionLoss(), weights={"nonsense": 1.0})
    with pytest.raises(ValueError, match="0 <= drop < 1; drop is 1"):
        WithDistillation(vectors(), None, RegionLoss(), drop=1.0)
