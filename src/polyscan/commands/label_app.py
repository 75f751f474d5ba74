"""``polyscan label-app``: write the folder that MONAI Label serves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "label-app",
        help="write the folder that MONAI Label serves",
        description="Write an app folder for monailabel start_server; polyscan must be installed beside MONAI Label.",
        epilog="example:\n  polyscan label-app app/\n  monailabel start_server --app app/ --studies ward/",
    )
    command.add_argument("output", type=Path, help="the folder to write")
    command.set_defaults(run=run)
    return command


def run(options: argparse.Namespace) -> None:
    from polyscan.files.atomic import atomic_write, resource_folder
    from polyscan.study.outputs import OutputFolder

    OutputFolder.claim(options.output, "label-app").will_hold(["main.py"])
    with atomic_write(options.output / "main.py") as file:
        file.write_bytes((resource_folder("label_app") / "main.py").read_bytes())
    print(f"{options.output}: monailabel start_server --app {options.output} --studies FOLDER")
