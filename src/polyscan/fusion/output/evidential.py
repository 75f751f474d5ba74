"""Evidence theory: members that can say that they do not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from polyscan.fusion.base import FusionLayer, LossInputs, expand, mask_absent
from polyscan.fusion.output.base import OutputRule


class DempsterShafer(OutputRule):
    """Dempster's rule on masses m_k = r p_k of the classes and 1 - r of not knowing; r the reliability of a member.

    Shafer, A Mathematical Theory of Evidence, 1976 (rule and discounting). The mass of not knowing
    that remains is shared evenly (pignistic probability, Smets 1990). r are learned, and start at ``reliability``. A
    member that is absent has r = 0: it knows nothing. Unchanged by the order of the members while r are equal.

    Args:
        modalities, channels, spatial_dims, sigmoid: see :class:`OutputRule`.
        reliability: from 0 to 1, both excluded.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        sigmoid: bool = False,
        reliability: float = 0.9,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, sigmoid=sigmoid)
        if not 0 < reliability < 1:
            raise ValueError(f"reliability is {reliability}; expected a number between 0 and 1.")
        self.reliability = torch.nn.Parameter(torch.full((modalities,), reliability).logit())

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        reliability = torch.sigmoid(self.reliability) * available.to(log_probability.dtype)
        belief = expand(reliability, log_probability) * log_probability.exp()
        belief, unknown = dempster(belief, expand(1 - reliability, log_probability))
        return torch.log(belief + unknown / log_probability.shape[2])


class Evidential(FusionLayer):
    """Trusted multi-view classification: evidence e_m = softplus(logits), opinions b = e / S, u = K / S, S = K + sum e.

    Han et al., Trusted Multi-View Classification, ICLR 2021 (reduced Dempster's rule). What comes
    out is log(alpha) of the joint Dirichlet, so that softmax gives its mean, and ``opinion`` its beliefs and how much
    is not known. An absent member has no evidence. ``auxiliary_loss`` is the paper's, each for the
    joint Dirichlet and for every member: ``evidence``, the expected cross-entropy, and ``divergence``, of the evidence
    for wrong classes from none. The paper lets the weight of the second grow from 0 to 1 over its first epochs; here it
    is the last. Unchanged by the order of the members.
    """

    joins: ClassVar[str] = "logits"
    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"evidence": 1.0, "divergence": 1.0}

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        belief, unknown = self.opinion(features, available)
        return torch.log(belief * self.channels / unknown + 1)

    @torch.jit.export
    def opinion(self, features: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """The joint opinion.

        Args:
            features: (batch, member, class, *spatial) logits, zero where absent.
            available: (batch, member) bool.

        Returns:
            Beliefs (batch, class, *spatial) and the mass of not knowing (batch, 1, *spatial); together they sum to one.
        """
        evidence = mask_absent(functional.softplus(features), available)
        strength = evidence.sum(2, keepdim=True) + self.channels
        return dempster(evidence / strength, self.channels / strength)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``evidence`` and ``divergence``, where the target is one class; labels beside each other are left out.

        Raises:
            ValueError: the target has other classes than the members.
        """
        features, available, target = given.features.float(), given.available, given.target
        none = features.sum() * 0
        if target is None or target.dim() != given.fused.dim():
            return {"evidence": none, "divergence": none}
        if target.shape != given.fused.shape:
            raise ValueError(
                f"target has shape {list(target.shape)}; expected {list(given.fused.shape)}, those of the logits."
            )
        belief, unknown = self.opinion(features, available)
        evidence = torch.cat([functional.softplus(features), (belief * self.channels / unknown).unsqueeze(1)], dim=1)
        counted = torch.cat([available, available.any(1, keepdim=True)], dim=1)
        one_class = ((target == 1).sum(1) == 1) & ((target == 0).sum(1) == self.channels - 1)
        where = expand(counted, evidence[:, :, 0]) & one_class.unsqueeze(1)
        alpha = evidence.movedim(2, -1)[where] + 1
        label = target.unsqueeze(1).expand_as(evidence).movedim(2, -1)[where].to(alpha.dtype)
        count = one_class.sum().clamp(min=1)
        wrong = (alpha - 1) * (1 - label) + 1
        return {
            "evidence": expected_cross_entropy(alpha, label).sum() / count + none,
            "divergence": divergence_from_uniform(wrong).sum() / count + none,
        }


def expected_cross_entropy(alpha: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy expected under Dirichlet(alpha), psi(S) - psi(alpha_label): (..., class) to (...)."""
    return (label * (torch.digamma(alpha.sum(-1, keepdim=True)) - torch.digamma(alpha))).sum(-1)


def divergence_from_uniform(alpha: Tensor) -> Tensor:
    """KL(Dirichlet(alpha) || Dirichlet(1, ..., 1)): (..., class) to (...)."""
    strength = alpha.sum(-1, keepdim=True)
    normal = torch.lgamma(strength.squeeze(-1)) - torch.lgamma(alpha).sum(-1) - math.lgamma(alpha.shape[-1])
    return normal + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(strength))).sum(-1)


def dempster(belief: Tensor, unknown: Tensor) -> tuple[Tensor, Tensor]:
    """Dempster's rule over members for masses on single classes and on all of them.

    Args:
        belief: (batch, member, class, ...).
        unknown: (batch, member, 1, ...), or one number a member.

    Returns:
        (batch, class, ...) and (batch, 1, ...), what members contradict each other in taken out.
    """
    joint, joint_unknown = belief[:, 0], unknown[:, 0]
    for m in range(1, belief.shape[1]):
        agreed = joint * belief[:, m] + joint * unknown[:, m] + belief[:, m] * joint_unknown
        open_still = joint_unknown * unknown[:, m]
        total = agreed.sum(1, keepdim=True) + open_still
        joint, joint_unknown = agreed / total, open_still / total
    return joint, joint_unknown
