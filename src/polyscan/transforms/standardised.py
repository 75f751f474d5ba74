"""Numbers of a table as a network reads them: in standard deviations from a mean."""

from __future__ import annotations

from typing import Any

from polyscan.errors import PolyscanError

FARTHEST = 20
"""Standard deviations; what lies farther from the mean has another unit, as an age in months has."""


def number_of(value: Any, name: str, study: str) -> float:
    """A value as a number; NaN where it is None.

    Raises:
        PolyscanError: it is no number.
    """
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        raise PolyscanError(f"{study}: {name} is no number, which is expected.") from None


def standardised(value: Any, mean: float, deviation: float, name: str, study: str) -> float:
    """How many standard deviations a value lies above the mean; NaN where it is None.

    Raises:
        PolyscanError: it is no number, or lies farther from the mean than :data:`FARTHEST`.
    """
    found = (number_of(value, name, study) - mean) / deviation
    if abs(found) > FARTHEST:
        raise PolyscanError(
            f"{study}: {name} lies more than {FARTHEST} standard deviations ({deviation:g}) from the mean that this "
            f"bundle knows, {mean:g}; correct it, or its unit."
        )
    return found
