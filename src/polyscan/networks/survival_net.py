"""SurvivalNet: a network of log risks that tells the chance to live so long, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyscan.errors import PolyscanError
from polyscan.networks.fusion_model import FusionModel, FusionWrapper

_FEWEST = 1e-6
"""The cumulative hazard of a time before which nobody died."""


class SurvivalNet(FusionWrapper):
    """Cox's proportional hazards: the log risk of a network, and what it makes of time.

    The chance to live until t is exp(-exp(log risk) H(t)). H, the cumulative hazard of a log risk of 0, is Breslow's
    estimate (discussion of Cox, JRSS B 34, 1972) among those whom :meth:`fit` is shown, whose mean log risk is 0. What
    was learnt by heart makes log risks too large, and weight decay makes them too small: they are multiplied by the
    slope that those have who were not learnt from (van Houwelingen and le Cessie, Statistics in Medicine 9, 1990). All
    three are of each subset of modalities its own, and stand among the weights. The logits are (batch, 1 + time): the
    log risk, and the logarithm of the cumulative hazard at each time.

    Args:
        network: of log risks (batch, 1), as :class:`polyscan.networks.CoxHead` gives them.
        horizons: the times, in the unit of those that are learnt from.

    Raises:
        ValueError: the network has more than ten modalities, whose subsets are too many.
        PolyscanError: it fuses outputs as the probabilities of classes.

    Example:
        >>> encoder = partial(VectorEncoder, size=30, channels=(16,))
        >>> net = FusionNet(["clinical", "genes"], encoder, [0], AttentionWeighted, CoxHead, spatial_dims=1)
        >>> net = SurvivalNet(net, horizons=[12, 36])
        >>> net(torch.randn(4, 2, 30)).shape
        torch.Size([4, 3])
    """

    if TYPE_CHECKING:  # TorchScript reads what is annotated here, and knows no text
        digits: Tensor
        slope: Tensor
        centre: Tensor
        baseline: Tensor

    def __init__(self, network: FusionModel, horizons: Sequence[float]) -> None:
        super().__init__(network)
        count = len(self.modalities)
        if count > 10:
            raise ValueError(f"the network has {count} modalities; a hazard for each subset is kept of at most 10.")
        for layer in network.modules():
            if getattr(layer, "joins", "") == "logits":
                raise PolyscanError(
                    f"{type(layer).__name__} joins logits; a layer that joins features is needed here, such as Sum: "
                    "log risks are no probabilities."
                )
        self.outputs = ["log risk", *(f"log cumulative hazard at {time:g}" for time in horizons)]
        self.horizons = [float(time) for time in horizons]
        self.register_buffer("digits", 2 ** torch.arange(count), persistent=False)
        self.register_buffer("slope", torch.ones(2**count, 1))
        self.register_buffer("centre", torch.zeros(2**count, 1))
        self.register_buffer("baseline", torch.zeros(2**count, len(self.horizons)))

    def logits(self, pre_logits: Tensor, available: Tensor) -> Tensor:
        subset = (available.long() * self.digits).sum(1)
        risk = self.slope[subset] * (self.network.logits(pre_logits, available) - self.centre[subset])
        return torch.cat([risk, risk + self.baseline[subset]], dim=1)

    def subsets(self) -> Tensor:
        """(subset, modality) bool: every subset of the modalities but none of them."""
        return (torch.arange(1, len(self.centre), device=self.digits.device)[:, None] & self.digits) > 0

    def fit(self, risk: Tensor, available: Tensor, target: Tensor, held_out: Tensor) -> None:
        """Set, for each subset, the slope, the mean and the cumulative hazard.

        Args:
            risk: (study, subset) log risks of ``network`` from each of :meth:`subsets`.
            available: (study, modality) bool: what is there. A subset is fitted to those who have all of it; where none
                of them has died, to all, each with what is there.
            target: (study, 2): time, and 1 where the event was seen.
            held_out: (study,) bool: who was not learnt from. The slope is theirs, and 1 where none of them has died.
        """
        own = (available.long() * self.digits).sum(1) - 1
        everyone = risk.gather(1, own[:, None])[:, 0]
        died = target[:, 1] > 0
        for k, subset in enumerate(self.subsets()):
            having = (available | ~subset).all(1)
            fitted = risk[:, k] if bool((having & died).any()) else everyone
            among = having if bool((having & died).any()) else torch.ones_like(having)
            judged = among & held_out
            slope = _slope(fitted[judged], target[judged]) if bool((judged & died).any()) else 1.0
            centre = fitted[among].mean()
            hazard = self._breslow(slope * (fitted[among] - centre), target[among])
            self.slope[k + 1], self.centre[k + 1] = slope, centre
            self.baseline[k + 1] = hazard.clamp(min=_FEWEST).log()

    def _breslow(self, risk: Tensor, target: Tensor) -> Tensor:
        """The cumulative hazard (time,) of a log risk of 0."""
        hazard, time, event = risk.double().exp(), target[:, 0], (target[:, 1] > 0).double()
        steps = event / (_at_risk(time) @ hazard)
        until = torch.tensor(self.horizons, device=time.device)
        return (time[None] <= until[:, None]).double() @ steps


def _at_risk(time: Tensor) -> Tensor:
    """(study, study): 1 where the second was still at risk at the time of the first."""
    return (time[None] >= time[:, None]).double()


def _slope(risk: Tensor, target: Tensor) -> float:
    """By what log risks are multiplied where Cox's partial likelihood is greatest, from 0 to 10, by bisection."""
    x, at_risk, event = (risk - risk.mean()).double(), _at_risk(target[:, 0]), (target[:, 1] > 0).double()
    low, high = 0.0, 10.0
    for _ in range(20):
        middle = (low + high) / 2
        weight = (middle * x).exp()
        rises = bool((event * (x - (at_risk @ (weight * x)) / (at_risk @ weight))).sum() > 0)
        low, high = (middle, high) if rises else (low, middle)
    return high
