"""The visits of patients: a table of volumes, days and treatment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyscan.errors import PolyscanError, first_of
from polyscan.study.table import read_rows, recorded

DETECTION_LIMIT = 0.1
"""Millilitres; a sphere of 6 mm. What is smaller is as good as not there, and its logarithm means nothing."""
_NO = {"0", "no", "n", "false", "none"}
_YES = {"1", "yes", "y", "true"}


@dataclass(frozen=True)
class Course:
    """The tumour of one patient at each visit, earliest first.

    Attributes:
        subject: whose.
        days: (visit,) since the first visit.
        volumes: (visit,) in millilitres; 0 where no tumour was seen.
        deviations: (visit,) standard deviations of the volumes in millilitres; 0 where not known.
        treated: (visit,) whether the patient is under treatment from this visit until the next, and at the last one
            whether treatment goes on.
        first_day: of the first visit, as the table counts days.
    """

    subject: str
    days: NDArray[np.float64]
    volumes: NDArray[np.float64]
    deviations: NDArray[np.float64]
    treated: NDArray[np.bool_]
    first_day: float = 0.0

    def exposure(self, days: ArrayLike, goes_on: bool | None = None) -> NDArray[np.float64]:
        """Days under treatment until each of some days.

        Args:
            days: (n,) since the first visit.
            goes_on: whether there is treatment after the last visit; as ``treated`` says if None.
        """
        treated = self.treated.copy()
        if goes_on is not None:
            treated[-1] = goes_on
        ends = np.append(self.days[1:], np.inf)
        within = np.clip(np.asarray(days, float)[:, None], self.days, ends) - self.days
        return np.asarray(within @ treated.astype(float))

    def until(self, visit: int) -> Course:
        """The course as it was known when so many visits had been."""
        return replace(
            self,
            days=self.days[:visit],
            volumes=self.volumes[:visit],
            deviations=self.deviations[:visit],
            treated=self.treated[:visit],
        )


def read_courses(table: Path, visits: Path | None = None, region: str | None = None) -> list[Course]:
    """Read the volumes of patients at their visits.

    Args:
        table: a CSV file with a row a visit: ``subject``, ``day``, ``volume_ml``, and where known ``volume_sd_ml`` and
            ``treated`` (1 where the patient is under treatment from this visit until the next); or ``cohort.csv`` of
            ``polyscan batch``.
        visits: a second table that says ``day`` and ``treated`` of the studies of the first, by ``study``.
        region: of a cohort's table, which segmented region.

    Returns:
        A course a subject that has a visit with a volume, in the order of their names.

    Raises:
        PolyscanError: a column is missing, a value is none, two visits of a subject are on one day, or treatment
            changes at one without volume.
    """
    rows = [recorded(row) for row in read_rows(table)]
    if visits is not None:
        rows = _with_days(rows, table, [recorded(row) for row in read_rows(visits)], visits)
    volume, deviation = (f"{region} ml", f"{region} sd ml") if region else ("volume_ml", "volume_sd_ml")
    columns = {name for row in rows for name in row}
    if missing := [name for name in ("subject", "day", volume) if name not in columns]:
        raise PolyscanError(_missing(table, missing, columns))
    of_subject: dict[str, list[tuple[float, float, float, bool]]] = defaultdict(list)
    unseen: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for row in rows:
        if "subject" in row and (volume in row or ("day" in row and "treated" in row)):
            subject = str(row["subject"])
            day, ml, sd = (_number(row, name, subject, table) for name in ("day", volume, deviation))
            if day is None:
                raise PolyscanError(f"{table}: {subject} has a visit without day; give its days since the first visit.")
            if ml is None:
                unseen[subject].append((day, _treated(row, subject, table)))
            else:
                of_subject[subject].append((day, ml, sd or 0.0, _treated(row, subject, table)))
    courses = [_course(subject, of_subject[subject], table) for subject in sorted(of_subject)]
    for each in courses:
        _check_unseen(each, unseen[each.subject], table)
    return courses


def _check_unseen(course: Course, unseen: Sequence[tuple[float, bool]], table: Path) -> None:
    """Refuse visits without a volume, which a course cannot hold, where treatment changes at one: it would be lost."""
    for day, treated in unseen:
        before = course.treated[course.days + course.first_day <= day]
        if len(before) and before[-1] != treated:
            raise PolyscanError(
                f"{table}: treatment of {course.subject} changes on day {day:g}, at a visit without volume; give its "
                "volume, or tell the change at the nearest visit that has one."
            )


def _course(subject: str, visits: Sequence[tuple[float, float, float, bool]], table: Path) -> Course:
    days, volumes, deviations, treated = (np.array(each) for each in zip(*sorted(visits), strict=True))
    if len(set(days)) < len(days):
        raise PolyscanError(f"{table}: {subject} has two visits on one day; keep one of them.")
    if volumes.min() < 0 or deviations.min() < 0:
        raise PolyscanError(f"{table}: {subject} has a volume below zero; give millilitres.")
    first = float(days[0])
    return Course(subject, days - first, volumes.astype(float), deviations.astype(float), treated, first)


def _with_days(
    rows: list[dict[str, Any]], table: Path, visits: list[dict[str, Any]], path: Path
) -> list[dict[str, Any]]:
    """The rows of a cohort with what another table says of their studies."""
    of_study = {str(row["study"]): row for row in visits if "study" in row}
    if not of_study:
        raise PolyscanError(f"{path} has no column study; it needs study, day and, where known, treated.")
    done = [row for row in rows if row.get("status", "done") == "done"]
    if unknown := [str(row.get("study")) for row in done if str(row.get("study")) not in of_study]:
        raise PolyscanError(f"{path} says nothing of {first_of(unknown)} of {table}; add a row for each.")
    return [{**row, **of_study.get(str(row.get("study")), {})} for row in rows]


def _number(row: dict[str, Any], name: str, subject: str, table: Path) -> float | None:
    found = row.get(name)
    if found is None:
        return None
    if not isinstance(found, (int, float)) or not np.isfinite(found):
        raise PolyscanError(f"{table}: {name} of {subject} is no number, which is expected.")
    return float(found)


def _treated(row: dict[str, Any], subject: str, table: Path) -> bool:
    told = str(row.get("treated", "0")).lower()
    if told not in _YES | _NO:
        raise PolyscanError(f"{table}: treated of {subject} is neither 1 nor 0, which are expected.")
    return told in _YES


def _missing(table: Path, missing: list[str], columns: set[str]) -> str:
    regions = sorted(name.removesuffix(" ml") for name in columns if name.endswith(" ml") and " true" not in name)
    hint = ""
    if missing == ["volume_ml"] and regions:
        hint = f"; name a region by --region: {', '.join(regions)}"
    elif "day" in missing and "study" in columns:
        hint = "; give a table of study, day and treated by --visits"
    return f"{table} has no column {' and no '.join(missing)}{hint or '; see polyscan course --help'}."
