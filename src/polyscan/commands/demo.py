"""``polyscan demo``: go the whole way on a made cohort."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "demo",
        help="go the whole way on a made cohort",
        description="Make a cohort, prepare it, train, predict with and without each contrast, and write a page.",
        epilog="example:\n  polyscan demo demo/",
    )
    command.add_argument("output", type=Path, nargs="?", default=Path("demo"), help="the folder to write (demo)")
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    from polyscan.demo import main

    main(options.output)
