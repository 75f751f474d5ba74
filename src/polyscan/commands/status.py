"""``polyscan status``: say where a batch stands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "status",
        help="say where a batch stands",
        description="Say how many studies of a batch are done, failed and why, being worked on, and waiting.",
        epilog="example:\n  polyscan status out/",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan batch writes")
    command.add_argument("--table", action="store_true", help="write the tables of the cohort anew from the records")
    command.set_defaults(run=run)
    return command


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
