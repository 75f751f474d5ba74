"""Late arrivals: a member that answers later updates the decision, and nobody is asked twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.fusion.base import FusionLayer


@dataclass(frozen=True)
class Decision:
    """What is believed, from which members' answers, and when each came.

    Attributes:
        logits: (channel, *spatial), what the rule made of the answers.
        based_on: member to when it answered, earliest first.
        answers: member to its logits (channel, *spatial), kept so that no encoder runs again.
        replaced: the decision that this one updates; None for the first.
    """

    logits: Tensor
    based_on: Mapping[str, datetime]
    answers: Mapping[str, Tensor] = field(repr=False)
    replaced: Decision | None = field(default=None, repr=False)

    @property
    def at(self) -> datetime:
        """When the last answer came."""
        return max(self.based_on.values())

    def to_json(self) -> dict[str, Any]:
        """What it says and on what it is based, as JSON's own types."""
        return {
            "logits": self.logits.tolist(),
            "at": self.at.isoformat(),
            "based_on": {member: when.isoformat() for member, when in self.based_on.items()},
        }


class LateFusion:
    """Keep decisions up to date as members answer, in any order and at any time.

    Args:
        members: names in the order of the rule's modalities.
        rule: any fusion layer on logits; the ones of :mod:`polyscan.fusion.output` were made for it.

    Example:
        >>> from polyscan.fusion.output import BayesianProduct
        >>> fusion = LateFusion(["CT", "PET"], BayesianProduct(2, 2))
        >>> first = fusion.update(None, "CT", torch.tensor([0.7, 0.0]), datetime(2026, 3, 1))
        >>> later = fusion.update(first, "PET", torch.tensor([1.6, 0.0]), datetime(2026, 3, 3))
        >>> list(later.based_on)
        ['CT', 'PET']
    """

    def __init__(self, members: Sequence[str], rule: FusionLayer) -> None:
        if len(members) != rule.modalities or len(set(members)) != len(members):
            raise PolyscanError(f"members are {list(members)}; the rule joins {rule.modalities} different ones.")
        self.members = list(members)
        self.rule = rule.eval()

    @torch.no_grad()
    def update(self, decision: Decision | None, member: str, logits: Tensor, at: datetime) -> Decision:
        """Take in one member's answer; a second answer of a member takes the place of its first.

        Args:
            decision: what was believed so far; None before the first answer. It is not changed.
            member: who answers.
            logits: (channel, *spatial).
            at: when the answer's scan was there.

        Raises:
            PolyscanError: the member is unknown, or its answer has another shape than the others', NaN in it, or is
                older than the same member's answer that it would replace.
        """
        if member not in self.members:
            raise PolyscanError(f"{member!r} is not among the members: {', '.join(self.members)}.")
        earlier = decision.answers if decision else {}
        shapes = {tuple(logits_of_member.shape) for logits_of_member in earlier.values()}
        if logits.shape[:1] != (self.rule.channels,) or not shapes <= {tuple(logits.shape)}:
            raise PolyscanError(
                f"{member} answered with shape {list(logits.shape)}; expected {self.rule.channels} channels"
                + (f" as in {[list(shape) for shape in shapes]}." if shapes else ".")
            )
        if not bool(torch.isfinite(logits).all()):
            raise PolyscanError(f"{member}'s answer holds values that are not finite; it was not taken in.")
        before = decision.based_on if decision else {}
        if member in before and at < before[member]:
            raise PolyscanError(f"{member} answered at {before[member]} already; an answer from {at} is older.")
        answers = {**earlier, member: logits}
        times = {**before, member: at}
        return Decision(
            logits=self._fused(answers),
            based_on=dict(sorted(times.items(), key=lambda item: item[1])),
            answers=answers,
            replaced=decision,
        )

    def _fused(self, answers: Mapping[str, Tensor]) -> Tensor:
        some = next(iter(answers.values()))
        stacked = torch.stack([answers.get(member, torch.zeros_like(some)) for member in self.members])
        available = torch.tensor([[member in answers for member in self.members]], device=some.device)
        fused: Tensor = self.rule(stacked[None], available)[0]
        return fused
