"""What is foretold of one patient."""

from __future__ import annotations

from dataclasses import dataclass

from polyscan.course.forecast import Forecast
from polyscan.course.visits import Course


@dataclass(frozen=True)
class Row:
    """What is foretold of a patient.

    Attributes:
        course: the visits so far.
        with_treatment, without_treatment: forecasts from the last visit to the day asked for; None where the population
            cannot tell.
        planned: that of the two which goes on as the last visit says.
    """

    course: Course
    planned: Forecast
    with_treatment: Forecast | None
    without_treatment: Forecast | None

    @property
    def subject(self) -> str:
        """Whose."""
        return self.course.subject

    @property
    def last_day(self) -> float:
        """Of the last visit, as the table counts days."""
        return self.course.first_day + float(self.course.days[-1])

    @property
    def last_ml(self) -> float:
        """The volume at the last visit."""
        return float(self.course.volumes[-1])

    @property
    def day(self) -> float:
        """For which the forecast is, as the table counts days."""
        return self.course.first_day + float(self.planned.days[-1])

    @property
    def told(self) -> str:
        """The forecast in words."""
        text = f"{interval(self.planned)}"
        treated = bool(self.course.treated[-1])
        other = self.without_treatment if treated else self.with_treatment
        return text if other is None else f"{text}; {'without' if treated else 'with'} treatment {interval(other)}"


def interval(found: Forecast) -> str:
    """The last volume of a forecast with its interval, as text."""
    return f"{found.median[-1]:.2f} mL ({found.low[-1]:.2f} to {found.high[-1]:.2f})"
