"""Make pages to look at.

Make a page of the cohort, what failed and what stands out first, and a page of
each study: slices of its scans with what was predicted, registrations before
and after, and how it was made. They open from a disk, without a network. Pages
that are current are kept.

Example:
  polyscan report out/
then open out/report.html in a browser
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_jobs, progress_bar


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan infer or batch wrote")
    command.add_argument("-o", "--output", type=Path, help="the page of the cohort; FOLDER/report.html where not given")
    command.add_argument(
        "--training", type=Path, metavar="RUN", help="show the curves of this training, a folder of polyscan train"
    )
    add_jobs(command)


def run(options: argparse.Namespace) -> None:
    from polyscan.report import write_report

    with progress_bar("drawing") as progress:
        page = write_report(
            options.folder, options.output, training=options.training, jobs=options.jobs, progress=progress
        )
    print(page)
