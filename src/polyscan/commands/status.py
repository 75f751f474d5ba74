"""Say where a batch stands.

Say how many studies of a batch are done, failed and why, being worked on, and
waiting.

Example:
  polyscan status out/
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan batch writes")
    command.add_argument("--table", action="store_true", help="write the tables of the cohort anew from the records")


def run(options: argparse.Namespace) -> None:
    from polyscan.batch.status import batch_status, read_records

    records = read_records(options.folder)
    status = batch_status(options.folder, records)
    for study, reason in status.failed.items():
        print(f"{study}: failed: {reason}")
    print(
        f"{len(status.done)} done, {len(status.failed)} failed, {len(status.running)} running, "
        f"{len(status.waiting)} waiting"
    )
    if options.table:
        from polyscan.batch import write_cohort

        write_cohort(options.folder, records)
        print(options.folder / "cohort.csv")
