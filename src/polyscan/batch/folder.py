"""What is written to a batch's folder of the studies found and of what became of them: tables and a page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyscan.batch.status import FOLDERS, STUDIES, is_locked, lock, read_records, record_files
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.files.features import FEATURES, remove_features
from polyscan.files.names import MAPS
from polyscan.files.owned import remove_owned, replace_owned
from polyscan.report.cohort_page import PAGES, write_cohort_page
from polyscan.report.measures import rows_of
from polyscan.report.ratings import Rating, read_ratings
from polyscan.study.manifest import MANIFEST, Failure, Manifest, read_manifest, write_manifest
from polyscan.study.outputs import REPORT, OutputFolder, sources_of
from polyscan.study.sources import SOURCES

INDEX, JOB_ARRAY, LOGS = "index.sqlite", "job_array.sh", "logs"
GATHER = ".gather"
"""Locked while manifest and tables are made of the records."""
COHORT = ("cohort.csv", "cohort.parquet", REPORT)
_FILES = (STUDIES, SOURCES, MANIFEST, INDEX, JOB_ARRAY, LOGS, *COHORT)


def find_studies(source: Path, out: Path) -> Manifest:
    """The studies of a source, noted in the claimed folder; what was read of a tree is kept there too."""
    if not source.exists():
        raise PolyscanError(f"{source} does not exist; give a folder of scans, or a manifest that polyscan scan wrote.")
    if not source.is_dir():
        found = read_manifest(source)
    else:
        new = not out.exists()
        OutputFolder.claim(out, "batch", scanned=source).will_hold([*FOLDERS, *_FILES])
        try:
            found = scan(source, index=out / INDEX)
        except PolyscanError:
            if new:
                shutil.rmtree(out)
            raise
    OutputFolder.claim(out, "batch", sources_of(found.studies), found.scanned).will_hold([*FOLDERS, *_FILES])
    write_manifest(out / STUDIES, found)
    (out / STUDIES).chmod(0o600)
    return found


def write_cohort(out: Path, records: Mapping[str, Manifest] | None = None) -> None:
    """Write ``cohort.csv`` and ``cohort.parquet`` from the records alone, whoever wrote them; a damaged one is said.

    Args:
        out: the folder.
        records: as :func:`read_records` gives them; they are read where not given.
    """
    with lock(out, GATHER):
        known = read_records(out) if records is None else records
        answered = [study for record in known.values() for study in record.studies]
        failed = [failure for record in known.values() for failure in record.failed]
        damaged = sorted(file.stem for file in record_files(out) if file.stem not in known)
        again = "its record is damaged; give the same command again, or send its images again"
        failed += [Failure(key, again) for key in damaged]
        write_results(out, Manifest(testing=answered, failed=failed))


def write_results(out: Path, cohort: Manifest) -> None:
    """Write the tables of a cohort, with ratings where there are, and its page where there are pages of studies."""
    with replace_owned(out, group="cohort") as folder:
        _write_table(folder, rows_of(cohort.studies, cohort.failed), read_ratings(out))
    if (out / PAGES).is_dir():
        write_cohort_page(cohort, out / REPORT, out / PAGES)


def _write_table(folder: Path, rows: list[dict[str, Any]], ratings: Mapping[str, Rating]) -> None:
    """Write the rows, with what a person said of each study, as CSV and, where pyarrow is installed, as Parquet."""
    import pandas as pd

    for row in rows:
        if (rated := ratings.get(row["study"])) is not None:
            row |= {"rating": rated.rating, "rated": rated.time}
    first = ["study", "subject", "session", "status", "reason", "modalities", "problems", "repaired"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*first, *(name for row in rows for name in row)])))
    table = table.sort_values("study")
    table.to_csv(folder / "cohort.csv", index=False)
    if find_spec("pyarrow") is not None:
        table.to_parquet(folder / "cohort.parquet", index=False)


def remove_others(out: Path, keys: set[str]) -> None:
    """Remove what is there of studies that the source no longer has."""
    for record in record_files(out):
        key = record.stem
        if key in keys or is_locked(out, key):
            continue
        remove_owned(out / "predictions", group=key)
        record.unlink()
        remove_owned(out / "prepared" / key)
        remove_features(out / FEATURES / key)
        remove_owned(out / "pages", group=key)
        remove_owned(out / "predictions" / f"{key}{MAPS}")
