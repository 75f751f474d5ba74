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

from polyscan.commands.options import add_jobs, add_output, progress_bar


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("protocol", help="a JSON file, or the name of one of configs/compare, such as diagnosis")
    add_output(command)
    add_jobs(command, "trainings")
    command.set_defaults(kept="{output} keeps the trainings that are done; give the same command again to go on.")


def run(options: argparse.Namespace) -> None:
    from polyscan.compare import compare

    with progress_bar("comparing") as progress:
        rows = compare(options.protocol, options.output, jobs=options.jobs, progress=progress)
    for row in rows:
        print(f"{row.strategy:32} AUROC {row.auroc}  {row.difference.value:+.3f} {row.verdict}")
    print(options.output / "compare.html")
