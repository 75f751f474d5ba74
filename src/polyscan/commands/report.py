"""``polyscan report``: make a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polyscan.commands.options import progress_bar


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "report",
        help="make a page to look at",
        description="Make one HTML page with pictures of each study; it opens without a network.",
        epilog="example:\n  polyscan report out/",
    )
    command.add_argument("folder", type=Path, help="the folder that polyscan infer wrote")
    command.add_argument("-o", "--output", type=Path, help="the page to write; FOLDER/report.html where not given")
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    from polyscan.report import write_report
    from polyscan.study.outputs import check_writable_file

    output = options.output or options.folder / "report.html"
    check_writable_file(output)
    with progress_bar("drawing") as progress:
        write_report(options.folder, output, progress=progress)
    print(output)
