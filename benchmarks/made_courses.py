"""Made courses of tumours whose growth is known, to try forecasts on."""

from __future__ import annotations

from typing import Literal

import numpy as np

from polyscan.course.population import YEAR
from polyscan.course.visits import Course

Growth = Literal["exponential", "gompertz"]


def made_courses(count: int, seed: int, growth: Growth = "exponential", error: float = 0.1) -> list[Course]:
    """Courses of three to seven visits, some with a stretch of treatment.

    Tumours grow exponentially, as :class:`polyscan.course.population.Population` says, or slow down towards a size of
    their own (Gompertz: d log V / dt = g log(K / V)), which it does not say. Treatment shrinks them at a rate that
    falls with a half-life of eight months under treatment; a Brownian motion is what else happens.

    Args:
        count: patients.
        seed: of everything.
        growth: see above.
        error: standard deviation of the logarithm of a measured volume.
    """
    rng = np.random.default_rng(seed)
    return [_made(f"sub-{i:05}", rng, growth, error) for i in range(count)]


def _made(subject: str, rng: np.random.Generator, growth: Growth, error: float) -> Course:
    visits = int(rng.integers(3, 8))
    days = np.concatenate([[0], np.cumsum(rng.integers(30, 121, visits - 1))]).astype(float)
    treated = np.zeros(visits, dtype=bool)
    if rng.random() < 0.7:
        start, length = int(rng.integers(0, visits - 1)), int(rng.integers(1, visits))
        treated[start : start + length] = True
    size, rate = rng.normal(np.log(15), 0.9), rng.normal(1.2, 0.7)
    effect = rng.normal(2.5, 1.2) + 0.3 * (rate - 1.2)
    course = Course(subject, days, np.zeros(visits), np.zeros(visits), treated)
    step = 5.0  # days
    times = np.arange(0, days[-1] + step, step)
    under = np.diff(course.exposure(times))
    exposed = course.exposure(times)[:-1] / YEAR
    capacity = np.log(rng.lognormal(np.log(150), 0.3))
    log_volume = [size]
    for treated_days, so_far in zip(under, exposed, strict=True):
        grown = rate if growth == "exponential" else rate * (capacity - log_volume[-1]) / (capacity - np.log(15))
        change = grown * step - effect * np.exp(-np.log(2) * so_far / (8 / 12)) * treated_days
        log_volume.append(log_volume[-1] + change / YEAR + rng.normal(0, np.sqrt(0.06 * step / YEAR)))
    observed = np.interp(days, times, log_volume) + rng.normal(0, error, visits)
    return Course(subject, days, np.exp(observed), np.zeros(visits), treated)
