r"""Score a network's answers beside simple models.

Print a table for each task, with intervals: what the network answered for
studies whose truth is known, and what a logistic regression, a ridge Cox or a
threshold of a single scan tells of the same studies. No study is answered by a
model that learnt from it: studies of different folds are answered for by those
of the others, or all by models of --learn-from.

Example:
  polyscan evaluate out/ --learn-from prepared/manifest.json
or of a cross-validation, by polyscan train --folds 5 --evaluate, once more:
  polyscan evaluate cv/answers/ --accuracy
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import at_least


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "answers",
        nargs="+",
        type=Path,
        help="folders that polyscan infer wrote, or manifests, a row each; labels, tables and folds are of the first",
    )
    command.add_argument(
        "--learn-from", metavar="MANIFEST", type=Path, help="of studies that simple models learn from, instead of folds"
    )
    command.add_argument("--task", nargs="+", default=[], help="only these, such as grade, or mask")
    command.add_argument("--inputs", nargs="+", default=[], help="only these tables or scans, as 'clinical + genes'")
    command.add_argument(
        "--reference", metavar="INPUTS", help="compare with the row of these; the best single ones where not given"
    )
    command.add_argument("--accuracy", action="store_true", help="count the classes that are right, instead of AUROC")
    some = command.add_mutually_exclusive_group()
    some.add_argument("--only", metavar="NAME=VALUE", default="", help="score these, such as centre=PCNN or sex=F")
    some.add_argument("--leave-out", metavar="NAME=VALUE", default="", help="score all but these")
    command.add_argument(
        "--samples", metavar="N", type=at_least(1), default=1000, help="cohorts drawn for an interval (1000)"
    )


def run(options: argparse.Namespace) -> None:
    from polyscan.baselines.evaluate import evaluate

    tables = evaluate(
        options.answers,
        learn_from=options.learn_from,
        tasks=options.task,
        inputs=options.inputs,
        reference=options.reference,
        accuracy=options.accuracy,
        only=options.only,
        leave_out=options.leave_out,
        n_resamples=options.samples,
    )
    for table in tables:
        print(table, end="\n\n", flush=True)
