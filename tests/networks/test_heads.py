"""Heads and their losses, beside formulas and libraries."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from polyscan import learning, networks
from polyscan.fusion import Concatenation
from polyscan.learning import MultitaskLoss
from polyscan.networks import FusionNet, MultitaskHead, OrdinalHead

FEATURES = [torch.randn(5, 4, 8, 8), torch.randn(5, 6, 4, 4)]


@pytest.mark.parametrize(
    ("head", "out"),
    [
        (partial(networks.ClassificationHead, out_channels=3), 3),
        (partial(networks.RegressionHead, targets=2), 4),
        (partial(networks.OrdinalHead, classes=4), 3),
        (networks.CoxHead, 1),
        (partial(networks.DiscreteSurvivalHead, intervals=7), 7),
    ],
)
def test_pooled_heads(head, out):
    made = head([4, 6], 2)
    assert made(FEATURES).shape == (5, out) == (5, made.out_channels)
    torch.testing.assert_close(made(FEATURES), made.last(made.hidden(FEATURES[-1].mean((2, 3)))))
    linear = head([4, 6], 2, hidden=0)
    torch.testing.assert_close(linear(FEATURES), linear.last(FEATURES[-1].mean((2, 3))))
    torch.testing.assert_close(torch.jit.script(made)(FEATURES), made(FEATURES))


def test_probabilities_of_ordered_classes_fall():
    made = OrdinalHead([6], 2, classes=5, hidden=3)
    above = made(FEATURES[1:]).sigmoid()
    assert (above.diff(dim=1) < 0).all()


def test_multitask_head_answers_every_task():
    torch.manual_seed(0)
    head = MultitaskHead(
        [4, 6], 2, tasks={"grade": partial(OrdinalHead, classes=3), "IDH": networks.ClassificationHead}
    )
    answer = head(FEATURES)
    parts = head.split(answer)
    assert answer.shape == (5, 4)
    torch.testing.assert_close(parts["IDH"], head.heads["IDH"](FEATURES))
    torch.testing.assert_close(torch.jit.script(head)(FEATURES), answer)
    net = FusionNet(
        ["T1", "T2"], partial(networks.UNetEncoder, channels=(4, 6)), [1], Concatenation, head_of, spatial_dims=2
    )
    assert net(torch.randn(2, 2, 16, 16)).shape == (2, 4)


def head_of(channels, spatial_dims):
    return MultitaskHead(
        channels, spatial_dims, tasks={"grade": partial(OrdinalHead, classes=3), "IDH": networks.ClassificationHead}
    )


def test_ordinal_loss():
    logits, rank = torch.randn(3, 2, dtype=torch.float64), np.array([0, 2, 1])
    p = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.mean([np.log(p[i, k] if rank[i] > k else 1 - p[i, k]) for i in range(3) for k in range(2)])
    assert float(learning.ordinal_loss(logits, torch.tensor(rank[:, None]))) == pytest.approx(expected)


def test_gaussian_loss_is_torchs():
    answer, target = torch.randn(4, 6), torch.randn(4, 3)
    theirs = torch.nn.functional.gaussian_nll_loss(answer[:, :3], target, answer[:, 3:].exp())
    torch.testing.assert_close(learning.gaussian_loss(answer, target), theirs)


def test_cox_loss_by_hand():
    risk, time, event = np.array([0.5, -1.0, 2.0, 0.3]), np.array([5.0, 3.0, 3.0, 1.0]), np.array([1, 1, 0, 0])
    terms = [np.log(np.exp(risk[time >= time[i]]).sum()) - risk[i] for i in (0, 1)]
    target = torch.tensor(np.stack([time, event], axis=1))
    assert float(learning.cox_loss(torch.tensor(risk[:, None]), target)) == pytest.approx(np.mean(terms), abs=1e-6)
    censored = torch.tensor([[1.0, 0], [2.0, 0]])
    answer = torch.randn(2, 1, requires_grad=True)
    learning.cox_loss(answer, censored).backward()
    assert (answer.grad == 0).all()


def test_discrete_survival_loss_by_hand():
    logits = np.array([[0.3, -1.0, 2.0], [1.0, 0.5, -0.5]])
    hazard = 1 / (1 + np.exp(-logits))
    died = (1 - hazard[0, 0]) * hazard[0, 1]
    survived = (1 - hazard[1, 0]) * (1 - hazard[1, 1])
    target = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    loss = learning.discrete_survival_loss(torch.tensor(logits), target)
    assert float(loss) == pytest.approx(-np.mean(np.log([died, survived])))
    np.testing.assert_allclose(learning.survival_curve(torch.tensor(logits)), np.cumprod(1 - hazard, axis=1))


def test_multitask_loss_leaves_out_what_is_not_known():
    tasks = {"grade": (2, 1, learning.ordinal_loss), "alive": (3, 2, learning.discrete_survival_loss)}
    loss, nan = MultitaskLoss(tasks), float("nan")
    answer = torch.randn(3, 5, requires_grad=True)
    target = torch.tensor([[1, nan, nan], [nan, 2, 1], [2, 0, 1]])
    expected = learning.ordinal_loss(answer[[0, 2], :2], target[[0, 2], :1])
    expected = expected + learning.discrete_survival_loss(answer[1:, 2:], target[1:, 1:])
    torch.testing.assert_close(loss(answer, target), expected)
    loss(answer, target).backward()
    assert (answer.grad[0, 2:] == 0).all()
    assert loss.log_variance.grad.abs().min() > 0
    assert float(loss(answer, torch.full((3, 3), nan)).detach()) == 0
    with pytest.raises(ValueError, match=r"expected \(5, 3\)"):
        loss(answer[:, :4], target)


def test_multilabel_and_classification():
    answer = torch.randn(4, 3)
    labels = torch.randint(2, (4, 3)).float()
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(answer, labels)
    torch.testing.assert_close(learning.multilabel_loss(answer, labels), theirs)
    theirs = torch.nn.functional.cross_entropy(answer, torch.tensor([0, 2, 1, 1]))
    torch.testing.assert_close(learning.classification_loss(answer, torch.tensor([[0.0], [2], [1], [1]])), theirs)


def test_an_untrained_segmentation_answers_with_its_prior():
    head = networks.SegmentationHead([4, 6, 6], 2, width=(4, 6), deep_supervision=1, prior=0.02)
    features = [*FEATURES, torch.randn(5, 6, 2, 2)]
    assert head(features).sigmoid().median().item() == pytest.approx(0.02, rel=1)
    assert [last.bias.sigmoid().item() for last in (head.last, *head.deep)] == pytest.approx([0.02, 0.02])
    with pytest.raises(ValueError, match=r"prior is 1; expected 0 < prior < 1"):
        networks.SegmentationHead([4, 6], 2, width=(4,), prior=1)
