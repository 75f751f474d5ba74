"""Go the whole way on a made cohort.

Make a cohort, prepare it, train, predict with and without each contrast, and
write a page.

Example:
  polyscan demo demo/
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("output", type=Path, nargs="?", default=Path("demo"), help="the folder to write (demo)")


def run(options: argparse.Namespace) -> None:
    from polyscan.demo import main

    main(options.output)
