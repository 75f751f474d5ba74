"""What people rated on the page of a cohort, from the file that it saves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json

RATINGS, RATED = "ratings.json", ("good", "doubtful", "bad")


@dataclass(frozen=True)
class Rating:
    """Of a study.

    Attributes:
        rating: one of :data:`RATED`.
        time: when, in ISO 8601.
    """

    rating: str
    time: str


def read_ratings(folder: Path) -> dict[str, Rating]:
    """Study to its rating, from ``ratings.json`` where somebody put it into the folder of a cohort.

    Raises:
        PolyscanError: the file is not what the page of a cohort saves.
    """
    path = folder / RATINGS
    if not path.is_file():
        return {}
    try:
        content: Any = read_json(path)
        found = {str(study): Rating(each["rating"], each["time"]) for study, each in content["ratings"].items()}
        for each in found.values():
            datetime.fromisoformat(each.time.replace("Z", "+00:00"))
            if each.rating not in RATED:
                raise ValueError(f"a rating is {each.rating!r}, not one of {', '.join(RATED)}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PolyscanError(
            f"{path} holds no ratings as the page of a cohort saves them ({error}); save them anew, or take it away."
        ) from error
    return found


def as_json(ratings: dict[str, Rating]) -> dict[str, dict[str, str]]:
    """As the page has them."""
    return {study: asdict(each) for study, each in ratings.items()}
