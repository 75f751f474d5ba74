"""Output fusion: rules against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polyscan.fusion.output import (
    BayesianProduct,
    DempsterShafer,
    Evidential,
    LogarithmicPool,
    MajorityVote,
    MaximumConfidence,
    MeanProbability,
    PrecisionWeighted,
)
from polyscan.fusion.output.evidential import divergence_from_uniform, expected_cross_entropy

BOTH = torch.tensor([[True, True]])
P = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
W = np.array([0.5, 0.3, 0.2])


def fused(rule, p=P, there=(True, True, True)):
    """What a rule makes of probabilities (member, class), those of absent members spoiled."""
    logits = torch.tensor(np.log(p) + 5.0).masked_fill(~torch.tensor(there)[:, None], torch.nan)[None]
    return rule.double()(logits, torch.tensor([there])).softmax(1)[0].detach().numpy()


def test_mean_and_weighted_mean():
    np.testing.assert_allclose(fused(MeanProbability(3, 3)), P.mean(0), atol=1e-7)
    np.testing.assert_allclose(fused(MeanProbability(3, 3, weights=list(W))), W @ P, atol=1e-7)
    weighted = fused(MeanProbability(3, 3, weights=list(W)), there=(True, False, True))
    np.testing.assert_allclose(weighted, (0.5 * P[0] + 0.2 * P[2]) / 0.7, atol=1e-7)


def test_logarithmic_pool():
    geometric = np.prod(P ** W[:, None], axis=0)
    np.testing.assert_allclose(fused(LogarithmicPool(3, 3, weights=list(W))), geometric / geometric.sum(), atol=1e-7)


def test_majority():
    np.testing.assert_allclose(fused(MajorityVote(3, 3)), [4 / 12] * 3, atol=1e-7)
    twice = P[[0, 0, 1]]
    np.testing.assert_allclose(fused(MajorityVote(3, 3), twice), [7 / 12, 4 / 12, 1 / 12], atol=1e-7)
    np.testing.assert_allclose(fused(MajorityVote(3, 3), twice, (True, True, False)), [7 / 9, 1 / 9, 1 / 9], atol=1e-7)


def test_maximum_confidence():
    np.testing.assert_allclose(fused(MaximumConfidence(3, 3)), P[2], atol=1e-7)
    np.testing.assert_allclose(fused(MaximumConfidence(3, 3), there=(True, True, False)), P[0], atol=1e-7)


def test_likelihood_ratios_multiply():
    """From even odds, 2:1 and 5:1 give 10:1."""
    p = np.array([[2 / 3, 1 / 3], [5 / 6, 1 / 6]])
    np.testing.assert_allclose(fused(BayesianProduct(2, 2), p, (True, True)), [10 / 11, 1 / 11], atol=1e-7)
    odds = torch.tensor([[[2.0], [5.0]]]).log()
    assert float(BayesianProduct(2, 1)(odds, BOTH).sigmoid()) == pytest.approx(10 / 11)


def test_prior_is_counted_once():
    """Two tests with ratios 2 and 5 of a disease with prior 0.1: odds 1:9 become 10:9."""
    prior_odds = 1 / 9
    p = np.array([[r * prior_odds / (1 + r * prior_odds), 1 / (1 + r * prior_odds)] for r in (2, 5)])
    np.testing.assert_allclose(fused(BayesianProduct(2, 2, prior=[0.1, 0.9]), p, (True, True)), [10 / 19, 9 / 19])
    np.testing.assert_allclose(fused(BayesianProduct(2, 2, prior=[0.1, 0.9]), p, (True, False)), p[0])
    logits = torch.tensor(np.log(p[:, :1] / p[:, 1:]))[None]
    yes = BayesianProduct(2, 1, prior=[0.1]).double()(logits, BOTH).sigmoid()
    assert float(yes) == pytest.approx(10 / 19)
    assert not any(each.requires_grad for each in BayesianProduct(2, 2).parameters()), "it is told, not learned"


def test_dempster_shafer_by_hand():
    """Every pair of focal sets, as the rule of combination is written."""
    r = 0.9
    frames = [{0}, {1}, {2}, {0, 1, 2}]
    joint = [0.0, 0.0, 0.0, 1.0]
    for p in P:
        mass, product = [*(r * p), 1 - r], [0.0] * 4
        for a, m in zip(frames, joint, strict=True):
            for b, n in zip(frames, mass, strict=True):
                if a & b:
                    product[frames.index(a & b)] += m * n
        joint = [x / sum(product) for x in product]
    expected = np.array(joint[:3]) + joint[3] / 3
    np.testing.assert_allclose(fused(DempsterShafer(3, 3, reliability=r)), expected, atol=1e-7)


def test_evidential_by_hand():
    """Equations 2 and 5 of Trusted Multi-View Classification, member by member."""
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-1.0, -2.0, 4.0]])
    b, u = None, None
    for e in np.log1p(np.exp(logits)):
        strength = e.sum() + 3
        b2, u2 = e / strength, 3 / strength
        if b is None:
            b, u = b2, u2
            continue
        conflict = b.sum() * b2.sum() - (b * b2).sum()
        b, u = (b * b2 + b * u2 + b2 * u) / (1 - conflict), u * u2 / (1 - conflict)
    alpha = b * 3 / u + 1
    rule, available = Evidential(3, 3), torch.ones(1, 3, dtype=torch.bool)
    got = rule(torch.tensor(logits)[None], available)
    np.testing.assert_allclose(got.exp()[0].numpy(), alpha, rtol=1e-9)
    belief, unknown = rule.opinion(torch.tensor(logits)[None], available)
    np.testing.assert_allclose([*belief[0].numpy(), *unknown[0].numpy()], [*b, u], rtol=1e-9)
    _, alone = rule.opinion(torch.tensor(logits)[None], torch.tensor([[True, False, False]]))
    assert alone > unknown, "fewer members know less"


def test_evidential_is_trained_as_published():
    """Against torch's Dirichlet: of the joint opinion and each member that is there; unknown classes do not count."""
    torch.manual_seed(0)
    rule, features = Evidential(3, 4), torch.randn(3, 3, 4, dtype=torch.float64)
    available = torch.tensor([[True, True, True], [True, False, True], [True, True, True]])
    target = torch.eye(4, dtype=torch.float64)[[2, 0, 1]]
    target[2] = torch.nan
    fused = rule(features, available)
    evidence, divergence = 0, 0
    for row in range(2):
        alphas = [fused[row].exp(), *(torch.nn.functional.softplus(x) + 1 for x in features[row, available[row]])]
        for alpha in alphas:
            label = target[row]
            evidence = evidence + torch.digamma(alpha.sum()) - torch.digamma(alpha[label == 1].squeeze())
            wrong = torch.distributions.Dirichlet((alpha - 1) * (1 - label) + 1)
            even = torch.distributions.Dirichlet(torch.ones(4, dtype=torch.float64))
            divergence = divergence + torch.distributions.kl_divergence(wrong, even)
    got = rule.auxiliary_loss(features, available, fused, target)
    torch.testing.assert_close(got["evidence"].double(), evidence / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got["divergence"].double(), divergence / 2, atol=1e-5, rtol=1e-5)
    assert all(term == 0 for term in rule.auxiliary_loss(features, available, fused).values())
    for no_class in ([1, 0, torch.nan, 0], [0, 0, torch.nan, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, torch.nan]):
        target[2] = torch.tensor(no_class)
        torch.testing.assert_close(rule.auxiliary_loss(features, available, fused, target), got)
    nowhere = rule.auxiliary_loss(features, available, fused, torch.full_like(target, torch.nan))
    assert all(term == 0 for term in nowhere.values())
    with pytest.raises(ValueError, match="those of the logits"):
        rule.auxiliary_loss(features, available, fused, target[:, :2])


def test_expectations_under_dirichlet_distributions_of_any_shape():
    alpha = torch.rand(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    dirichlet, even = torch.distributions.Dirichlet(alpha), torch.distributions.Dirichlet(torch.ones_like(alpha))
    torch.testing.assert_close(divergence_from_uniform(alpha), torch.distributions.kl_divergence(dirichlet, even))
    label = torch.eye(4, dtype=torch.float64)[torch.arange(10).reshape(2, 5) % 4]
    of_label = (torch.digamma(alpha) * label).sum(2)
    torch.testing.assert_close(expected_cross_entropy(alpha, label), torch.digamma(alpha.sum(2)) - of_label)


def test_precision_weighted_is_the_posterior_of_gaussians():
    mean, variance = np.array([1.0, 4.0]), np.array([1.0, 0.25])
    features = torch.tensor(np.stack([mean, np.log(variance)], axis=1))[None]
    out = PrecisionWeighted(2, 2)(features, BOTH)[0].numpy()
    np.testing.assert_allclose(out, [(1 / 1 + 4 / 0.25) / 5, np.log(1 / 5)])
    np.testing.assert_allclose(PrecisionWeighted(2, 2)(features, torch.tensor([[True, False]]))[0], [1.0, 0.0])
    with pytest.raises(ValueError, match="even number"):
        PrecisionWeighted(2, 3)


@pytest.mark.parametrize(
    "rule", [MeanProbability, LogarithmicPool, MajorityVote, MaximumConfidence, BayesianProduct, DempsterShafer]
)
def test_labels_that_do_not_exclude_each_other_are_fused_one_by_one(rule):
    """A sigmoid each: the same as two classes, yes and no, of every label alone."""
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    available = torch.tensor([[True, True, True], [True, False, True]])
    labels = rule(3, 4, sigmoid=True)(logits, available).sigmoid()
    for k in range(4):
        both = torch.stack([torch.zeros_like(logits[:, :, k]), logits[:, :, k]], dim=2)
        torch.testing.assert_close(rule(3, 2)(both, available).softmax(1)[:, 1], labels[:, k], rtol=1e-4, atol=1e-5)


def test_weights_and_reliability_that_are_none_are_refused():
    with pytest.raises(ValueError, match="expected 3 positive numbers"):
        MeanProbability(3, 2, weights=[1, 2])
    for sure in (0, 1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            DempsterShafer(2, 2, reliability=sure)
    with pytest.raises(ValueError, match="below 1"):
        BayesianProduct(2, 1, prior=[1.0])
