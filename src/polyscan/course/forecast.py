"""What a patient's next visits will measure, from those that have been and from the population."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr

from polyscan.course.population import YEAR, Population, logarithms
from polyscan.course.visits import Course
from polyscan.errors import PolyscanError

PROGRESSION = 1.4
"""A volume of so many times the smallest so far is progression (RANO 2.0, Wen et al., J Clin Oncol 41, 2023)."""


@dataclass(frozen=True)
class Forecast:
    """The volumes that a patient's tumour will be measured to have.

    Attributes:
        days: (n,) since the first visit.
        median, low, high: (n,) millilitres; ``low`` to ``high`` holds the measured volume with the given probability.
        progression: (n,) probability that it is progression, against the smallest volume measured so far.
    """

    days: NDArray[np.float64]
    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    progression: NDArray[np.float64]


def forecast(
    population: Population,
    course: Course,
    days: ArrayLike,
    *,
    treated: bool | None = None,
    coverage: float = 0.9,
) -> Forecast:
    """Predict what later visits measure.

    Each visit so far narrows the patient's own size, growth and effect of treatment down (the conditional normal
    distribution), and weighs the draws of the population by how likely they make it.

    Args:
        population: of patients like this one.
        course: the visits so far.
        days: (n,) since the first visit, after the last.
        treated: whether there is treatment after the last visit; what the course says of the last visit if None.
        coverage: probability that an interval holds the volume.

    Raises:
        PolyscanError: a day is not after the last visit, or the population cannot tell treatment from none.
    """
    days = np.atleast_1d(np.asarray(days, float))
    if days.min() <= course.days[-1]:
        raise PolyscanError(
            f"{course.subject}: day {days.min():g} is not after the last visit, on day {course.days[-1]:g}."
        )
    if treated not in (None, bool(course.treated[-1])) and not population.knows_treatment:
        raise PolyscanError(
            "The population was not seen both with treatment and without; it cannot say what treatment changes."
        )
    centre, variance, weight = _posterior(population, course, days, treated)
    low, median, high = (
        np.exp(_quantile(centre, variance, weight, p)) for p in ((1 - coverage) / 2, 0.5, (1 + coverage) / 2)
    )
    nadir = np.log(PROGRESSION * max(course.volumes.min(), population.detection_limit))
    return Forecast(days, median, low, high, 1 - _cdf(centre, variance, weight, np.full(len(days), nadir)))


def _posterior(
    population: Population, course: Course, days: NDArray[np.float64], treated: bool | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of the logarithm of each later volume under each draw, (draw, n), and the draws' weights."""
    seen = len(course.days)
    everything = np.concatenate([course.days, days])
    design = population.design(everything, course.exposure(everything, treated))
    mean = (design @ population.mean[..., None])[..., 0]
    earlier = np.minimum.outer(everything, everything) / YEAR
    whole = design @ population.covariance @ design.swapaxes(-1, -2) + population.drift[:, None, None] * earlier
    y, own = logarithms(course.volumes, course.deviations, population.detection_limit)
    # A volume to come will be measured as well as those so far were.
    error = population.error[:, None] + np.concatenate([own, np.full(len(days), np.median(own))])
    whole += error[..., None] * np.eye(len(everything))
    known, cross, later = whole[:, :seen, :seen], whole[:, seen:, :seen], whole[:, seen:, seen:]
    off = y - mean[:, :seen]
    solved = np.linalg.solve(known, np.concatenate([off[..., None], cross.swapaxes(-1, -2)], axis=-1))
    centre = mean[:, seen:] + (cross @ solved[..., :1])[..., 0]
    variance = np.diagonal(later - cross @ solved[..., 1:], axis1=-2, axis2=-1)
    likelihood = -0.5 * (off * solved[..., 0]).sum(-1) - 0.5 * np.linalg.slogdet(known)[1]
    return centre, variance, np.exp(likelihood - logsumexp(likelihood))


def _cdf(
    centre: NDArray[np.float64], variance: NDArray[np.float64], weight: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(weight @ ndtr((at - centre) / np.sqrt(variance)))


def _quantile(
    centre: NDArray[np.float64], variance: NDArray[np.float64], weight: NDArray[np.float64], p: float
) -> NDArray[np.float64]:
    """Of a mixture of normal distributions, (n,), by bisection."""
    reach = 10 * np.sqrt(variance).max(axis=0)
    low, high = centre.min(axis=0) - reach, centre.max(axis=0) + reach
    for _ in range(60):
        middle = (low + high) / 2
        below = _cdf(centre, variance, weight, middle) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)
