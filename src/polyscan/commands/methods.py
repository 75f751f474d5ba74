"""Write the methods section of a paper.

Write what was run as Markdown: preparation, network, training, evaluation and
comparison, with versions, hashes, numbered references and their BibTeX. Every
sentence follows from a record.

Example:
  polyscan methods out/ run/ compared/ -o methods.md
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folders", nargs="+", type=Path, help="that polyscan prepare, infer, batch, train or compare wrote"
    )
    command.add_argument("-o", "--output", type=Path, help="the file to write; printed where not given")


def run(options: argparse.Namespace) -> None:
    from polyscan.methods import methods_text, write_methods

    if options.output is None:
        print(methods_text(options.folders), end="")
    else:
        print(write_methods(options.folders, options.output))
