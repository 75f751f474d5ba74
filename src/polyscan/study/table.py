"""Tables of clinical variables and labels, as hospitals and archives write them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_UNRECORDED = (None, "", "n/a", "NA", "nan")


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table, or of a TSV table where the file's name ends so."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def recorded(row: Mapping[str, str]) -> dict[str, Any]:
    """What a row tells: column to value, without what was not recorded."""
    return {name: value(text) for name, text in row.items() if name and text not in _UNRECORDED}


def value(text: str) -> float | int | str:
    """A number where the text is one, a whole one where it is whole."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number
