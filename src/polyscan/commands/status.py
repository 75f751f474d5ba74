"""Say where a batch or a listener stands.

Say how many studies are done, failed and why, being worked on, and waiting; of
a listener also which archive did not take a result yet, and why.

Example:
  polyscan status out/
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan batch or listen writes")
    command.add_argument("--table", action="store_true", help="write the tables of the cohort anew from the records")


def run(options: argparse.Namespace) -> None:
    from polyscan.batch.status import batch_status, read_records
    from polyscan.hospital.deliveries import ListenStatus, listen_status

    records = read_records(options.folder)
    is_listener = (options.folder / "deliveries").is_dir()
    status = listen_status(options.folder) if is_listener else batch_status(options.folder, records)
    for study, reason in status.failed.items():
        print(f"{study}: failed: {reason}")
    counts = [f"{len(getattr(status, name))} {name}" for name in ("done", "failed", "running", "waiting")]
    if isinstance(status, ListenStatus):
        for study, refused in status.unsent.items():
            print(*(f"{study}: not sent yet: {reason}" for reason in refused.values()), sep="\n")
        counts.append(f"{len(status.unsent)} not sent yet")
    print(", ".join(counts))
    if options.table:
        from polyscan.batch import write_cohort

        write_cohort(options.folder, records)
        print(options.folder / "cohort.csv")
