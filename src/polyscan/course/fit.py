"""Learn a population from the courses of its patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from polyscan.course.population import YEAR, Population, design, logarithms
from polyscan.course.visits import DETECTION_LIMIT, Course
from polyscan.errors import PolyscanError

LEAST = 20
"""Patients with two visits or more that a population is learnt from."""
_OF_EACH = 5  # patients seen with treatment, and without, that its effect is learnt from
_DRAWS = 64
# Weak priors, as mean and standard deviation of logarithms; rates are per year.
_PRIORS = {"spread": (0.0, 1.5), "drift": (np.log(0.05), 1.5), "error": (np.log(0.1**2), 2.0), "resistance": (0.0, 1.0)}


def fit_population(courses: Sequence[Course]) -> Population:
    """Learn how tumours grow and respond by penalised marginal likelihood, and how sure that is by Laplace's method.

    The likelihood of a linear Gaussian mixed model has a closed form (Laird and Ware, Biometrics 38, 1982);
    weak priors keep variances off zero (Chung et al., Psychometrika 78, 2013).

    Args:
        courses: of patients; those with one visit tell of sizes only.

    Raises:
        PolyscanError: too few patients were seen twice.
    """
    followed = sum(len(course.days) > 1 for course in courses)
    if followed < LEAST:
        raise PolyscanError(
            f"{followed} patients have two visits or more, and a population is learnt from {LEAST}; give one that was "
            "learnt elsewhere by --population."
        )
    terms = 3 if _tells_treatment(courses) else 2
    loss = _loss(courses, terms)
    start = torch.zeros(terms + terms + terms * (terms - 1) // 2 + 3, dtype=torch.float64)
    first = np.array([logarithms(c.volumes[:1], c.deviations[:1], DETECTION_LIMIT)[0][0] for c in courses])
    start[0], start[terms] = float(first.mean()), float(np.log(first.std() + 0.1))
    start[-3], start[-2] = _PRIORS["drift"][0], _PRIORS["error"][0]
    best = _minimise(loss, start)
    hessian = torch.autograd.functional.hessian(loss, best)
    values, vectors = torch.linalg.eigh(hessian)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((_DRAWS, len(best))))
    draws = best + (noise / values.clamp_min(1e-3).sqrt()) @ vectors.T
    mean, covariance, drift, error, resistance = _parameters(draws, terms)
    return Population(
        mean=mean.numpy(),
        covariance=covariance.numpy(),
        drift=drift.numpy(),
        error=error.numpy(),
        resistance=resistance.numpy(),
        patients=len(courses),
        visits=sum(len(course.days) for course in courses),
        detection_limit=DETECTION_LIMIT,
    )


def _tells_treatment(courses: Sequence[Course]) -> bool:
    """Whether enough patients were followed with treatment and enough without."""
    with_it = sum(bool(course.treated[:-1].any()) for course in courses)
    without = sum(bool((~course.treated[:-1]).any()) for course in courses)
    return with_it >= _OF_EACH and without >= _OF_EACH


def _parameters(flat: torch.Tensor, terms: int) -> tuple[torch.Tensor, ...]:
    """Mean, covariance, drift, error and resistance from (..., n) numbers without bounds."""
    mean, log_spread = flat[..., :terms], flat[..., terms : 2 * terms]
    below = flat[..., 2 * terms : -3]
    rows, columns = torch.tril_indices(terms, terms, -1)
    lower = torch.eye(terms, dtype=flat.dtype).expand(*flat.shape[:-1], -1, -1).clone()
    lower[..., rows, columns] = below
    lower = lower / lower.norm(dim=-1, keepdim=True)  # of a correlation matrix, whatever the numbers are
    lower = log_spread.exp()[..., None] * lower
    drift, error, resistance = flat[..., -3:].exp().unbind(-1)
    return mean, lower @ lower.mT, drift, error, resistance


def _loss(courses: Sequence[Course], terms: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The negative logarithm of the penalised marginal likelihood as a function of the numbers without bounds."""
    longest = max(len(course.days) for course in courses)
    shape = (len(courses), longest)
    t, treated, y, own = (torch.zeros(shape, dtype=torch.float64) for _ in range(4))
    valid = torch.zeros(shape, dtype=torch.bool)
    for i, course in enumerate(courses):
        n = len(course.days)
        logs, variances = logarithms(course.volumes, course.deviations, DETECTION_LIMIT)
        rows = (course.days / YEAR, course.exposure(course.days) / YEAR, logs, variances)
        for to, values in zip((t, treated, y, own), rows, strict=True):
            to[i, :n] = torch.from_numpy(values)
        valid[i, :n] = True
    both = valid[:, :, None] & valid[:, None, :]
    earlier = torch.minimum(t[:, :, None], t[:, None, :])
    identity = torch.eye(longest, dtype=torch.float64)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        mean, covariance, drift, error, resistance = _parameters(flat, terms)
        rows = design(t, treated, resistance, terms)
        whole = rows @ covariance @ rows.mT + drift * earlier + torch.diag_embed(error + own)
        whole = torch.where(both, whole, identity)
        off = torch.where(valid, y - rows @ mean, 0.0)
        lower = torch.linalg.cholesky(whole)
        white = torch.linalg.solve_triangular(lower, off[..., None], upper=False)
        fit = 0.5 * white.square().sum() + lower.diagonal(dim1=-2, dim2=-1).log().sum()
        return fit + _penalty(flat, terms)

    return loss


def _penalty(flat: torch.Tensor, terms: int) -> torch.Tensor:
    told = [("spread", flat[terms : 2 * terms]), *zip(("drift", "error", "resistance"), flat[-3:], strict=True)]
    far = [((value - _PRIORS[name][0]) / _PRIORS[name][1]).square().sum() for name, value in told]
    far += [(flat[:terms] / 10).square().sum(), flat[2 * terms : -3].square().sum()]
    return 0.5 * torch.stack(far).sum()


def _minimise(loss: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    found = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([found], max_iter=500, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(found)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return found.detach()
