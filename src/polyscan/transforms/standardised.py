"""Values of a table as a network reads them: numbers in standard deviations from a mean, and words that it knows."""

from __future__ import annotations

from collections.abc import Sequence
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


def word_of(value: Any, known: Sequence[Any], name: str, study: str, unread: list[str] | None) -> Any:
    """A value that is one of some words; None where it was not recorded.

    Args:
        value: what the table holds.
        known: the words.
        name: of the column.
        study: whose it is.
        unread: takes the name where the value is no such word, which counts as not recorded then.

    Raises:
        PolyscanError: it is no such word, and there is no ``unread``.
    """
    if value is None or value in known:
        return value
    if unread is None:
        words = ", ".join(map(str, known))
        raise PolyscanError(f"{study}: {name} is none of what this bundle knows: {words}; correct it.")
    unread.append(name)
    return None
