"""``polyscan methods``: the methods section of a paper."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "methods",
        help="write the methods section of a paper",
        description="Write what was run as Markdown: preparation, network, training, evaluation and comparison, with "
        "versions, hashes, numbered references and their BibTeX. Every sentence follows from a record.",
        epilog="example:\n  polyscan methods out/ run/ compared/ -o methods.md",
    )
    command.add_argument(
        "folders", nargs="+", type=Path, help="that polyscan prepare, infer, batch, train or compare wrote"
    )
    command.add_argument("-o", "--output", type=Path, help="the file to write; printed where not given")
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    from polyscan.methods import methods_text, write_methods

    if options.output is None:
        print(methods_text(options.folders), end="")
    else:
        print(write_methods(options.folders, options.output))
