"""Pools and votes: the classical rules (Kittler et al., On combining classifiers, IEEE TPAMI 20(3), 1998)."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import expand, mask_absent
from polyscan.fusion.output.base import OutputRule, Pool


class MeanProbability(Pool):
    """p = sum_m w_m p_m over the members that are there (linear pool).

    Kittler et al., IEEE TPAMI 1998 (sum rule), with the weights w of a :class:`Pool`. Unchanged by the
    order of the members while their weights are equal.
    """

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        return torch.logsumexp(log_probability + expand(self.log_shares(available), log_probability), dim=1)


class LogarithmicPool(Pool):
    """log p = sum_m w_m log p_m, up to a constant, over the members that are there (geometric mean).

    Genest and Zidek, Statistical Science 1986, with the weights w of a :class:`Pool`. Sharper than the
    linear pool where members agree. Unchanged by the order of the members while their weights are equal.
    """

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        return (expand(self.log_shares(available).exp(), log_probability) * log_probability).sum(1)


class MajorityVote(OutputRule):
    """p_k = (votes for k + 1 / K) / (members + 1): each member that is there votes for its likeliest class.

    Kittler et al., IEEE TPAMI 1998 (majority vote rule); 1 / K more (Laplace) keeps logarithms finite and a single vote
    from certainty. No gradient passes a vote. Unchanged by the order of the members. Ties stay ties.
    """

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        classes = log_probability.shape[2]
        vote = torch.zeros_like(log_probability).scatter(2, log_probability.argmax(2, keepdim=True), 1.0)
        votes = mask_absent(vote, available).sum(1)
        return torch.log(votes + 1 / classes)


class MaximumConfidence(OutputRule):
    """p = p_m of the member m, of those that are there, whose likeliest class is the most probable, at each position.

    Kittler et al., IEEE TPAMI 1998 (max rule), normalised. Unchanged by the order of the members.
    """

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        sure = log_probability.amax(2, keepdim=True)  # least where a member is absent, whose classes are all as likely
        best = sure.argmax(1, keepdim=True).expand_as(log_probability[:, :1])
        return log_probability.gather(1, best).squeeze(1)
