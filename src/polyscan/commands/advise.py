"""Where and how to fuse on a cohort, and why.

Look at the studies of a manifest (modalities, what is missing and whether by
chance, grids and registration, classes, tables) and advise where and how to
fuse them, with the rules and the stored results that it rests on. Writes a
fragment for polyscan train and says the next command.

Example:
  polyscan advise prepared/manifest.json -o advice/
  polyscan advise prepared/manifest.json -o advice/ --target IDH --memory 8
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_roots, at_least, roots


def add(command: argparse.ArgumentParser) -> None:
    add_roots(command)
    command.add_argument("manifest", type=Path, help="a manifest, best one that polyscan prepare wrote")
    command.add_argument("-o", "--output", type=Path, default=Path("advice"), help="the folder to write to (advice)")
    command.add_argument(
        "--target", help="what is to be learnt: a task of the labels, or mask; where there are several"
    )
    command.add_argument("--must-show", action="store_true", help="which modality drove an answer must be seen")
    command.add_argument(
        "--memory", type=at_least(0, float), metavar="GB", help="memory of the device, where it is short"
    )
    command.add_argument("--hours", type=at_least(0, float), help="time for a training, where it is short")
    command.add_argument(
        "--leave-out",
        metavar="COHORT",
        nargs="+",
        default=[],
        help="stored results not to use, such as those of this very cohort",
    )


def run(options: argparse.Namespace) -> None:
    from polyscan.advise import advise, as_text, commands_of, write_advice

    advice = advise(
        options.manifest,
        target=options.target,
        must_show=options.must_show,
        memory=options.memory,
        hours=options.hours,
        leave_out=options.leave_out,
        roots=roots(options),
    )
    write_advice(advice, options.manifest, options.output)
    print(as_text(advice, commands_of(advice, options.manifest, options.output)))
