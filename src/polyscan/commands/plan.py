"""Plan a training from its data.

Look at prepared studies and write what a bundle is to be trained with:
spacing, window, batch, network, windows of values, class weights, epochs. Read
it, edit it, give it to polyscan train as --config.

Example:
  polyscan plan brain_mri_tumour_segmentation prepared/manifest.json -o plan.json
  polyscan train brain_mri_tumour_segmentation prepared/manifest.json -o run/ --config plan.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from polyscan.commands.options import add_bundle, at_least


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    command.add_argument("manifest", type=Path, help="a manifest that polyscan prepare wrote")
    command.add_argument("-o", "--output", type=Path, required=True, help="the plan to write")
    command.add_argument(
        "--memory",
        type=at_least(0, float),
        help="GB that a step may take; those of the GPU, or half of the machine's, if not given",
    )


def run(options: argparse.Namespace) -> None:
    from polyscan.bundle.plan import make_plan
    from polyscan.files.atomic import write_json
    from polyscan.study.outputs import check_writable_file, replace_file

    check_writable_file(options.output, "plan")
    plan = make_plan(options.bundle, options.manifest, memory=options.memory)
    with replace_file(options.output, "plan"):
        write_json(options.output, plan)
    for name, value in {**plan["shared"], **plan["train"]}.items():
        print(f"{name}: {json.dumps(value)}")
    print(f"plan in {options.output}; train with --config {options.output}")
