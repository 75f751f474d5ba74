"""A page of courses: each patient's volumes, and what is foretold with and without treatment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscan.course.forecast import Forecast
from polyscan.course.population import Population
from polyscan.course.row import Row, interval
from polyscan.report.render import render_page

WIDTH, HEIGHT = 520, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 34
_STEPS = [m * 10**e for e in range(6) for m in (1, 2, 5)]  # days
_TICKS = np.array([m * 10.0**e for e in range(-3, 5) for m in (1, 2, 5)])


def write_page(path: Path, population: Population, rows: list[Row]) -> None:
    """Write one HTML page that opens without a network."""
    text = render_page(
        "polyscan.course",
        "page.html",
        today=date.today().isoformat(),
        population=population,
        rows=[(row, Plot.of(row)) for row in rows],
        interval=interval,
        width=WIDTH,
        height=HEIGHT,
    )
    path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class Plot:
    """A patient's course as shapes of an SVG: days to the right, volumes upwards on a logarithmic scale.

    Attributes:
        visits: x, y and a text of each visit.
        line: points through the visits.
        treatments: x and width of each stretch under treatment.
        bands: of each forecast whether it is with treatment, the points of its interval, and those of its median.
        days, volumes: ticks: place and text.
    """

    visits: list[tuple[float, float, str]]
    line: str
    treatments: list[tuple[float, float]]
    bands: list[tuple[bool, str, str]]
    days: list[tuple[float, str]]
    volumes: list[tuple[float, str]]

    @classmethod
    def of(cls, row: Row) -> Plot:
        """Lay a patient's course out."""
        course = row.course
        forecasts = [(True, row.with_treatment), (False, row.without_treatment)]
        shown = [(treated, found) for treated, found in forecasts if found is not None]
        shown = shown or [(bool(course.treated[-1]), row.planned)]
        floor = min(course.volumes[course.volumes > 0], default=row.planned.low.min())
        observed = np.maximum(course.volumes, floor)
        low = min(observed.min(), *(found.low.min() for _, found in shown)) / 1.15
        high = max(observed.max(), *(found.high.max() for _, found in shown)) * 1.15

        def x(days: ArrayLike) -> NDArray[np.float64]:
            return _LEFT + np.asarray(days, float) / row.planned.days[-1] * (WIDTH - _LEFT - _RIGHT)

        def y(volumes: ArrayLike) -> NDArray[np.float64]:
            part = np.log(np.asarray(volumes, float) / low) / np.log(high / low)
            return HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM)

        def band(found: Forecast) -> tuple[str, str]:
            start = x(course.days[-1:]), y(observed[-1:])
            x_all = np.concatenate([start[0], x(found.days)])
            edges = [np.concatenate([start[1], y(values)]) for values in (found.high, found.low, found.median)]
            around = _points(np.concatenate([x_all, x_all[::-1]]), np.concatenate([edges[0], edges[1][::-1]]))
            return around, _points(x_all, edges[2])

        ends = x(np.append(course.days[1:], course.days[-1]))
        starts = x(course.days)
        step = next(tick for tick in _STEPS if row.planned.days[-1] / tick <= 5)
        days = np.arange(np.ceil(course.first_day / step) * step, row.day, step)
        ticks = _TICKS[(low <= _TICKS) & (high >= _TICKS)]
        ticks = ticks[:: int(np.ceil(len(ticks) / 6)) or 1]
        return cls(
            visits=[
                (float(a), float(b), f"day {course.first_day + day:g}: {volume:.2f} mL")
                for a, b, day, volume in zip(starts, y(observed), course.days, course.volumes, strict=True)
            ],
            line=_points(starts, y(observed)),
            treatments=[
                (float(a), float(b - a)) for a, b, on in zip(starts, ends, course.treated, strict=True) if on and b > a
            ],
            bands=[(treated, *band(found)) for treated, found in shown],
            days=[(float(x(day - course.first_day)), f"{day:.0f}") for day in days],
            volumes=[(float(y(tick)), f"{tick:g}") for tick in ticks],
        )


def _points(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
