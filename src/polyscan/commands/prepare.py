"""Register, normalise and match resolution.

Load the scans of each study, register them, bring them to one scale and one
grid.

Example:
  polyscan prepare manifest.json -o prepared/ --protocol brain_mri
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from polyscan.commands.options import (
    FINISHED_STUDIES,
    add_jobs,
    add_output,
    add_roots,
    progress_bar,
    roots,
    tell_failed,
    tell_problems,
)


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("manifest", type=Path, help="a manifest that polyscan scan wrote")
    add_output(command)
    command.add_argument(
        "--protocol", default="default", help="a protocol's name, such as brain_mri, or a YAML file (default)"
    )
    command.add_argument(
        "--compare-with",
        type=Path,
        help="a bundle, or a folder that polyscan train wrote: say which scans differ from those it was trained on",
    )
    command.add_argument(
        "--registered", action="store_true", help="the scans of each study are registered to each other already"
    )
    add_jobs(command)
    add_roots(command)
    command.set_defaults(kept=FINISHED_STUDIES)


def run(options: argparse.Namespace) -> int:
    from polyscan.preprocess.prepare import prepare
    from polyscan.study.manifest import read_manifest

    manifest = read_manifest(options.manifest, roots(options))
    with progress_bar("preparing") as progress:
        result = prepare(
            manifest,
            options.output,
            protocol=options.protocol,
            like=options.compare_with,
            registered=options.registered,
            jobs=options.jobs,
            progress=progress,
        )
    tell_problems(result)
    used = {study.key: {*study.scans, *study.problems} for study in result.studies}
    others = Counter(
        name for study in manifest.studies for name in study.scans.keys() - used.get(study.key, study.scans)
    )
    for name, count in sorted(others.items()):
        print(f"{name} of {count} studies is left out: the protocol {options.protocol} does not read it")
    print(f"{len(result.studies)} studies prepared in {options.output / 'manifest.json'}")
    return tell_failed(result)
