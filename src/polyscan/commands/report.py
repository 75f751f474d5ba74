"""``polyscan report``: make a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polyscan.commands.options import progress_bar


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "report",
        help="make pages to look at",
        description="Make a page of the cohort, what failed and what stands out first, and a page of each study: "
        "slices of its scans with what was predicted, registrations before and after, and how it was made. They open "
        "from a disk, without a network. Pages that are current are kept.",
        epilog="example:\n  polyscan report out/\nthen open out/report.html in a browser",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan infer or batch wrote")
    command.add_argument("-o", "--output", type=Path, help="the page of the cohort; FOLDER/report.html where not given")
    command.add_argument("--jobs", type=int, help="studies at a time; as many as there are cores where not given")
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    from polyscan.report import write_report

    with progress_bar("drawing") as progress:
        page = write_report(options.folder, options.output, jobs=options.jobs, progress=progress)
    print(page)
