"""The cohort as a table, one row a study, made from the records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from polyscan.report.measures import rows_of
from polyscan.report.ratings import Rating
from polyscan.study import Study
from polyscan.study.manifest import Failure


def write_table(out: Path, answered: Iterable[Study], failed: Iterable[Failure], ratings: Mapping[str, Rating]) -> None:
    """Write ``cohort.csv`` and, where pyarrow is installed, ``cohort.parquet``: status, times, problems, answers.

    Args:
        out: the folder.
        answered: studies with their answers.
        failed: those that failed.
        ratings: study to what a person said of it.
    """
    import pandas as pd

    rows = rows_of(answered, failed)
    for row in rows:
        if (rated := ratings.get(row["study"])) is not None:
            row |= {"rating": rated.rating, "rated": rated.time}
    first = ["study", "subject", "session", "status", "reason", "modalities", "problems", "repaired"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*first, *(name for row in rows for name in row)])))
    table = table.sort_values("study")
    table.to_csv(out / "cohort.csv", index=False)
    if find_spec("pyarrow") is not None:
        table.to_parquet(out / "cohort.parquet", index=False)
