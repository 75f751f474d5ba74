"""Forecast every patient of a table, and write what came out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polyscan.course.fit import fit_population
from polyscan.course.forecast import Forecast, forecast
from polyscan.course.page import write_page
from polyscan.course.population import Population
from polyscan.course.row import Row
from polyscan.course.visits import Course, read_courses
from polyscan.errors import PolyscanError
from polyscan.files.owned import replace_owned
from polyscan.files.tables import write_rows
from polyscan.study.outputs import OutputFolder

TABLE, PAGE, POPULATION = "course.csv", "course.html", "population.json"
_POINTS = 25  # of a curve


def course(
    table: Path,
    out: Path,
    *,
    visits: Path | None = None,
    region: str | None = None,
    horizon: float = 90,
    population: Path | None = None,
) -> list[Row]:
    """Forecast the next visit of every patient, and write a table, a page and the population.

    Args:
        table: see :func:`polyscan.course.read_courses`.
        visits: see there.
        region: see there.
        out: folder that is new, empty, or was made by ``course``.
        horizon: days after each patient's last visit.
        population: file of one that was learnt before; learnt from the table where not given.

    Returns:
        A row a patient.

    Raises:
        PolyscanError: the table cannot be used, or is too small to learn a population from.
    """
    if not horizon > 0:
        raise PolyscanError(f"--horizon {horizon:g} is no time after the last visit; give days, such as 90.")
    courses = read_courses(table, visits, region)
    learnt = fit_population(courses) if population is None else Population.load(population)
    rows = [_row(learnt, each, horizon) for each in courses]
    owned = OutputFolder.claim(out, "course")
    owned.will_hold([TABLE, PAGE, POPULATION])
    with owned.alone(), replace_owned(owned.path, group="course") as folder:
        learnt.save(folder / POPULATION)
        _write_table(folder / TABLE, rows)
        write_page(folder / PAGE, learnt, rows)
    return rows


def _row(population: Population, course: Course, horizon: float) -> Row:
    days = course.days[-1] + np.linspace(horizon / _POINTS, horizon, _POINTS)
    planned = forecast(population, course, days)
    if not population.knows_treatment:
        return Row(course, planned, None, None)
    other = forecast(population, course, days, treated=not course.treated[-1])
    return Row(course, planned, *((planned, other) if course.treated[-1] else (other, planned)))


def _write_table(path: Path, rows: list[Row]) -> None:
    told = []
    for row in rows:
        line = {"subject": row.subject, "visits": len(row.course.days), "last_day": row.last_day, "day": row.day}
        for name in ("planned", "with_treatment", "without_treatment"):
            found: Forecast | None = getattr(row, name)
            for what in ("median", "low", "high", "progression"):
                unit = "" if what == "progression" else "_ml"
                line[f"{name}_{what}{unit}"] = None if found is None else round(float(getattr(found, what)[-1]), 4)
        told.append(line)
    write_rows(path, told)
