"""Train ways to fuse on the same folds, and say which may be called better.

Train every strategy of a protocol on every fold of a cohort of tables, beside
concatenation, the mean of outputs, each modality alone, a logistic regression
and the best single value, and write a page and a table. A run that was cut
short goes on where the same command is given again.

Example:
  polyscan compare diagnosis -o compared/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import at_least, progress_bar


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("protocol", help="a JSON file, or the name of one of configs/compare, such as diagnosis")
    command.add_argument("-o", "--output", type=Path, required=True, help="the folder to write to")
    command.add_argument(
        "--jobs", type=at_least(1), help="trainings at a time; as many as there are cores where not given"
    )
    command.set_defaults(kept="{output} keeps the trainings that are done; give the same command again to go on.")


def run(options: argparse.Namespace) -> None:
    from polyscan.compare import compare

    with progress_bar("comparing") as progress:
        rows = compare(options.protocol, options.output, jobs=options.jobs, progress=progress)
    for row in rows:
        print(f"{row.strategy:32} AUROC {row.auroc}  {row.difference.value:+.3f} {row.verdict}")
    print(options.output / "compare.html")
