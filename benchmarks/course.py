"""Whether intervals of the next visit hold what they should, on made courses, beside two simple forecasts.

    python benchmarks/course.py [--patients 5000] [--learnt-from 40 400] [--seeds 3]

For each patient the last visit is foretold from those before. Printed: how often the 90 % interval holds the measured
volume, the median ratio of its ends, and the mean absolute logarithm of foretold over measured. *Last volume*: no
change, with the interval of the changes in the population. *Own line*: a line through the logarithms of the patient's
own volumes with its prediction interval, where there are three or more.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from made_courses import Growth, made_courses
from scipy.stats import t as student

from polyscan.course.fit import fit_population
from polyscan.course.forecast import forecast
from polyscan.course.population import Population
from polyscan.course.visits import Course

Interval = tuple[float, float, float]  # logarithms of low, median, high


def by_population(population: Population, course: Course) -> Interval:
    """The forecast from the visits but the last."""
    found = forecast(population, course.until(len(course.days) - 1), course.days[-1:])
    return float(np.log(found.low[0])), float(np.log(found.median[0])), float(np.log(found.high[0]))


def by_last(changes: np.ndarray, course: Course) -> Interval:
    """No change, as sure as that is in the population."""
    last = float(np.log(course.volumes[-2]))
    return last + float(np.quantile(changes, 0.05)), last, last + float(np.quantile(changes, 0.95))


def by_line(course: Course) -> Interval:
    """A line through the patient's own volumes."""
    x, y, at = course.days[:-1], np.log(course.volumes[:-1]), course.days[-1]
    slope, start = np.polyfit(x, y, 1)
    left = y - start - slope * x
    about = np.sqrt(
        (left @ left) / (len(x) - 2) * (1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    )
    half = float(student.ppf(0.95, len(x) - 2) * about)
    return float(start + slope * at) - half, float(start + slope * at), float(start + slope * at) + half


def figures(found: Iterable[tuple[Course, Interval]]) -> tuple[float, float, float]:
    """Coverage, median ratio of the interval's ends, mean absolute error of the logarithm."""
    truth, low, median, high = np.array([(np.log(c.volumes[-1]), *interval) for c, interval in found]).T
    return (
        float(((low <= truth) & (truth <= high)).mean()),
        float(np.exp(np.median(high - low))),
        float(np.abs(median - truth).mean()),
    )


def main(patients: int, learnt_from: list[int], seeds: int) -> None:
    """Print a row for each kind of growth, size of the population and forecast: means over seeds, and their range."""
    print("| growth | learnt from | forecast | of 90 % | ends, ratio | error of the logarithm |")
    print("|---|---|---|---|---|---|")
    growths: tuple[Growth, ...] = ("exponential", "gompertz")
    for growth in growths:
        tried = [made_courses(patients, 1000 + seed, growth) for seed in range(seeds)]
        for count in learnt_from:
            rows: dict[str, list[tuple[float, float, float]]] = {"population": [], "last volume": [], "own line": []}
            for seed, courses in enumerate(tried):
                cohort = made_courses(count, seed, growth)
                population = fit_population(cohort)
                changes = np.array([np.log(c.volumes[-1] / c.volumes[-2]) for c in cohort])
                rows["population"].append(figures((c, by_population(population, c)) for c in courses))
                rows["last volume"].append(figures((c, by_last(changes, c)) for c in courses))
                rows["own line"].append(figures((c, by_line(c)) for c in courses if len(c.days) > 3))
            for name, each in rows.items():
                low, mean, high = np.min(each, axis=0), np.mean(each, axis=0), np.max(each, axis=0)
                print(
                    f"| {growth} | {count} | {name} | {mean[0]:.3f} ({low[0]:.3f} to {high[0]:.3f}) | {mean[1]:.2f} | "
                    f"{mean[2]:.3f} ({low[2]:.3f} to {high[2]:.3f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=5000, help="whose last visit is foretold")
    parser.add_argument("--learnt-from", type=int, nargs="+", default=[40, 400], help="patients of the population")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    main(options.patients, options.learnt_from, options.seeds)
