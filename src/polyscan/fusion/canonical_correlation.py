"""Canonical correlation analysis: project each modality onto what it has in common with the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from polyscan.fusion.base import FusionLayer, LossInputs
from polyscan.fusion.blocks import flatten_space, mean_of, pooled


class CanonicalCorrelation(FusionLayer):
    """F = mean over available i of P_i (M_i - m_i) at every position, P_i the canonical projections.

    ``fit`` solves regularised CCA in closed form, for two modalities or more: the leading eigenvectors of
    C p = l D p, D = diag(C_11, ..., C_nn) + r v I of the modalities' own covariances, v their mean variance, and C the
    covariance of all features together with D in the place of those (Hotelling 1936; Kettenring 1971, MAXVAR; Vinod
    1976 for r).
    Unfitted, P_i is the identity. P_i are parameters and go on learning where their network is trained: with
    ``auxiliary_loss`` (``correlation``: minus the sum of canonical correlations, averaged over pairs; Andrew et al.,
    ICML 2013) encoders and projections become deep CCA. Depends on the order of the modalities.

    Args:
        modalities, channels, spatial_dims, auxiliary_weights: see :class:`FusionLayer`. The paper trains on the
            correlation alone, so that no weight beside a supervised loss is published.
        regularisation: r, from 0 up.
    """

    AUXILIARY_WEIGHTS: ClassVar[Mapping[str, float]] = {"correlation": 0.1}

    def __init__(
        self,
        modalities: int,
        channels: int,
        spatial_dims: int = 3,
        *,
        regularisation: float = 0.01,
        auxiliary_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(modalities, channels, spatial_dims, auxiliary_weights=auxiliary_weights)
        if regularisation < 0:
            raise ValueError(f"regularisation is {regularisation}; expected 0 or more.")
        self.regularisation = regularisation
        self.projection = torch.nn.Parameter(torch.eye(channels).repeat(modalities, 1, 1))
        self.centre = torch.nn.Parameter(torch.zeros(modalities, channels))

    def fuse(self, features: Tensor, available: Tensor) -> Tensor:
        return mean_of(self.project(features), available)

    @torch.jit.export
    def project(self, features: Tensor) -> Tensor:
        """Canonical variates (batch, modality, channel, *spatial) of features of the same shape."""
        centred = flatten_space(features, 3) - self.centre.unsqueeze(2)
        return torch.einsum("moc,bmcv->bmov", self.projection, centred).reshape(features.shape)

    @torch.no_grad()
    def fit(self, features: Tensor, available: Tensor) -> Tensor:
        """Set the projections from a cohort's features, averaged over space, of the rows that have every modality.

        Args:
            features: (row, modality, channel, *spatial).
            available: (row, modality) bool.

        Returns:
            (channel,) the mean correlation (regularised) of each canonical variate between modalities, largest first.

        Raises:
            ValueError: fewer than three rows are complete.
        """
        views = pooled(features[available.all(1)]).double()
        if len(views) < 3:
            raise ValueError(f"{len(views)} of {len(features)} rows have every modality; CCA needs three at least.")
        centre = views.mean(0)
        together = (views - centre).flatten(1)
        covariance = together.T @ together  # times a number that drops out
        apart = torch.block_diag(*[covariance[s, s] for s in self._slices()])
        own = apart + (self.regularisation + 1e-10) * apart.diagonal().mean() * torch.eye(len(apart)).to(apart)
        whiten = torch.linalg.cholesky(own).inverse()
        values, vectors = torch.linalg.eigh(whiten @ (covariance - apart + own) @ whiten.T)
        solution = (whiten.T @ vectors).flip(1)[:, : self.channels]
        projection = solution.T.unflatten(1, (self.modalities, self.channels)).transpose(0, 1)
        deviation = torch.einsum("moc,bmc->bmo", projection, views - centre).std(0).clamp(min=1e-12)
        self.projection.copy_(projection / deviation.unsqueeze(2))
        self.centre.copy_(centre)
        return ((values.flip(0)[: self.channels] - 1) / max(1, self.modalities - 1)).to(features.dtype)

    def loss_terms(self, given: LossInputs) -> dict[str, Tensor]:
        """``correlation``: minus the sum of canonical correlations of a batch, from minus the channels to 0.

        Every position of every row that has both modalities of a pair is a sample. A pair with no more samples than
        channels is left out: any two views of so few correlate perfectly, whatever they show.
        """
        variates = flatten_space(self.project(given.features), 3).transpose(2, 3)
        terms = []
        for a in range(self.modalities):
            for b in range(a + 1, self.modalities):
                rows = given.available[:, a] & given.available[:, b]
                views = [variates[rows, m].flatten(0, 1) for m in (a, b)]
                if len(views[0]) > self.channels + 1:
                    terms.append(-total_correlation(views[0], views[1]))
        return {"correlation": torch.stack(terms).mean() if terms else variates.sum() * 0}

    def _slices(self) -> list[slice]:
        return [slice(m * self.channels, (m + 1) * self.channels) for m in range(self.modalities)]


def total_correlation(a: Tensor, b: Tensor, regularisation: float = 1e-3) -> Tensor:
    """Sum of the canonical correlations of two (sample, channel) views: the nuclear norm of Saa^-1/2 Sab Sbb^-1/2.

    Args:
        a: one view; more samples than channels, or the answer says nothing.
        b: the other.
        regularisation: what is added to the diagonal of Saa and Sbb, in mean variances of the view.
    """
    with torch.autocast(a.device.type, enabled=False):  # a covariance in bfloat16 is not positive definite
        a, b = (x.float() if x.element_size() < 4 else x for x in (a, b))
        a, b = a - a.mean(0), b - b.mean(0)
        roots = []
        for x in (a, b):
            covariance = x.T @ x / (len(x) - 1)
            variance = (regularisation * covariance.diagonal().mean()).clamp(min=1e-12)
            roots.append(torch.linalg.cholesky(covariance + variance * torch.eye(len(covariance)).to(covariance)))
        half = torch.linalg.solve_triangular(roots[0], a.T @ b / (len(a) - 1), upper=False)
        return torch.linalg.matrix_norm(torch.linalg.solve_triangular(roots[1], half.T, upper=False), "nuc")
