"""Rows as a file of comma or tab separated values."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscan.files.atomic import atomic_write


def rows_in(path: Path) -> list[dict[str, str]]:
    """The rows that :func:`write_rows` wrote, by commas; what people write is read by :mod:`polyscan.study.table`."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], separator: str = ",") -> None:
    """Write rows, which need not have the same columns, whole or not at all; what a row lacks, or is None, is empty."""
    columns = dict.fromkeys(name for row in rows for name in row)
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
