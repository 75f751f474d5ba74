"""Product of experts with the prior taken out: likelihood ratios multiply."""

from __future__ import annotations

import torch
from torch import Tensor

from polyscan.fusion.base import expand
from polyscan.fusion.output.base import OutputRule, log_of


class BayesianProduct(OutputRule):
    """log p = sum_m log p_m - (n - 1) log prior over the n members that are there, up to a constant.

    Bayes' rule for members that are independent given the class (Kittler et al., IEEE TPAMI 1998, product rule): each
    member's posterior holds the prior once, the product must hold it once too. From even odds, ratios of 2:1 and 5:1
    give 10/11. Dependent members make it too sure; unchanged by their order.

    Args:
        modalities, channels, spatial_dims, sigmoid: see :class:`OutputRule`.
        prior: of each class in the data that the members were trained on (with ``sigmoid``: of yes, of each label);
            even where not given.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        sigmoid: bool = False,
        prior: list[float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, sigmoid=sigmoid)
        log_prior = log_of(prior, channels)
        if prior is not None and self.sigmoid:
            if max(prior) >= 1:
                raise ValueError(f"prior is {prior}; expected probabilities of yes below 1.")
            log_prior = torch.stack([torch.log1p(-torch.tensor(prior)), log_prior])
        elif self.sigmoid:
            log_prior = torch.zeros(2, channels)
        self.log_prior = torch.nn.Parameter(log_prior, requires_grad=False)

    def combine(self, log_probability: Tensor, available: Tensor) -> Tensor:
        valid = expand(available, log_probability).to(log_probability.dtype)
        prior = self.log_prior.reshape(
            list(self.log_prior.shape) + [1] * (log_probability.dim() - 2 - self.log_prior.dim())
        )
        return (log_probability * valid).sum(1) - (valid.sum(1) - 1) * prior
