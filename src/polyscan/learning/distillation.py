"""Distil what a network answers from all modalities into what it answers from some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscan.fusion.blocks import flatten_space
from polyscan.learning.auxiliary_loss import WithAuxiliaryLosses, auxiliary_losses, fusion_calls
from polyscan.learning.deep_supervision import deep_logits, deep_losses
from polyscan.networks.cached_features import CachedFeatures
from polyscan.networks.fusion_model import FusionModel

WEIGHTS = {"full": 1.0, "logits": 1.0, "features": 0.1, "prototypes": 0.1}


class WithDistillation(WithAuxiliaryLosses):
    """Train a network on a random subset of what each subject has, and let its answer from all of it teach that one.

    Teacher and student are one network; its encoders run once a step. The answer is the student's; beside its
    supervised loss and the auxiliary ones there are four terms. ``full``: the supervised loss of the teacher's answer.
    ``logits``: T^2 KL(teacher || student) of softened probabilities (Hinton et al., arXiv 1503.02531, 2015), of
    a binary one each where ``sizes`` are not given. ``features``: the squared error of the fused features
    (FitNets, Romero et al., ICLR 2015, hints). ``prototypes``: the squared error of the cosines between a
    subject's pooled features and the mean of each class in the batch, student's and teacher's, for classes (ProtoKD,
    Wang et al., ICASSP 2023, in its form for one label a subject). No gradient reaches the teacher by what it teaches.

    Args:
        network: whose weights are trained; features are to reach it whole, without modality dropout.
        one_hot: see :class:`WithAuxiliaryLosses`; tasks of classes give ``sizes``, as :class:`OneHotTasks` has them.
        loss: the supervised loss.
        drop: probability that a modality is kept from the student.
        temperature: T.
        weights: of the four terms, in place of the defaults.
        objectives: see :class:`WithAuxiliaryLosses`.

    Raises:
        ValueError: a weight is of no term, or ``drop`` is no probability below 1.
    """

    def __init__(
        self,
        network: FusionModel,
        one_hot: Callable[[Tensor], Tensor] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        drop: float = 0.4,
        temperature: float = 2.0,
        weights: Mapping[str, float] | None = None,
        objectives: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(network, one_hot, loss, objectives)
        if unknown := sorted(set(weights or {}) - set(WEIGHTS)):
            raise ValueError(f"distillation has no term {', '.join(unknown)}; its terms are {', '.join(WEIGHTS)}.")
        if loss is None or not 0 <= drop < 1:
            raise ValueError(f"distillation needs the supervised loss, and 0 <= drop < 1; drop is {drop}.")
        self.supervised, self.drop, self.temperature = loss, drop, temperature
        self.weights = {**WEIGHTS, **(weights or {})}
        self.sizes: list[int] = list(getattr(one_hot, "sizes", []))

    def supervise(self, encoded: CachedFeatures, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The student's logits, and what is trained beside their supervised loss, by name."""
        subset = random_subset(encoded.available, self.drop)
        fused = encoded.fuse(encoded.available)
        whole = encoded.head(fused, encoded.available)
        with fusion_calls(self.network) as calls, deep_logits(self.network) as deep:
            student_fused = encoded.fuse(subset)
            logits = encoded.head(student_fused, subset)
        known = target if self.one_hot is None else self.one_hot(target)
        losses = {**auxiliary_losses(calls, known), **deep_losses(deep, target, self.supervised)}
        teacher = [level.detach() for level in fused]
        terms = {
            "full": self.supervised(whole, target),
            "logits": self._softened(logits, whole.detach()),
        }
        if self.network.fused_channels:  # with fusion at the output there are no fused features
            pairs = [(s, t) for s, t in zip(student_fused, teacher, strict=True) if t.numel()]
            terms["features"] = torch.stack([functional.mse_loss(s, t) for s, t in pairs]).mean()
            if self.sizes:
                terms["prototypes"] = _prototypes(student_fused[-1], teacher[-1], known)
        return logits, {**losses, **{f"distillation.{name}": self.weights[name] * terms[name] for name in terms}}

    def _softened(self, student: Tensor, teacher: Tensor) -> Tensor:
        t = self.temperature
        if not self.sizes:
            soft = torch.sigmoid(teacher / t)
            entropy = functional.binary_cross_entropy(soft, soft)
            return t * t * (functional.binary_cross_entropy_with_logits(student / t, soft) - entropy)
        parts = [
            functional.kl_div((s / t).log_softmax(1), (k / t).log_softmax(1), reduction="batchmean", log_target=True)
            for s, k in zip(student.split(self.sizes, 1), teacher.split(self.sizes, 1), strict=True)
        ]
        return t * t * torch.stack(parts).mean()


def random_subset(available: Tensor, drop: float) -> Tensor:
    """Keep each modality of (batch, modality) with probability 1 - ``drop``; of a subject that would have none, one."""
    return keep_by_chance(available, torch.rand(available.shape, device=available.device), drop)


def keep_by_chance(available: Tensor, chance: Tensor, drop: float) -> Tensor:
    """The modalities of (batch, modality) whose number, from 0 to 1, is not below ``drop``; or else the highest one."""
    kept = available & (chance >= drop)
    best = chance.masked_fill(~available, -1.0).argmax(1, keepdim=True)
    one = torch.zeros_like(available).scatter(1, best, True) & available
    return torch.where(kept.any(1, keepdim=True), kept, one)


def _prototypes(student: Tensor, teacher: Tensor, one_hot: Tensor) -> Tensor:
    """Squared error between cosines to the class means; classes that the batch lacks are left out."""
    member = torch.nan_to_num(one_hot.as_subclass(Tensor))  # type: ignore[arg-type]
    seen = member.sum(0) > 0
    cosines = []
    for features in (student, teacher):
        pooled = flatten_space(features, 2).mean(2)
        means = member.T @ pooled / member.sum(0).clamp(min=1).unsqueeze(1)
        cosines.append(functional.cosine_similarity(pooled.unsqueeze(1), means.unsqueeze(0), dim=2)[:, seen])
    return functional.mse_loss(cosines[0], cosines[1])
