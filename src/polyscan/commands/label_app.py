"""``polyscan label-app``: write the folder that MONAI Label serves."""

from __future__ import annotations

import argparse
import shlex
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
    from polyscan.files.owned import replace_owned
    from polyscan.files.resources import resource_folder
    from polyscan.study.outputs import OutputFolder

    owned = OutputFolder.claim(options.output, "label-app")
    owned.will_hold(["main.py"])
    with replace_owned(owned.path, group="app") as folder:
        (folder / "main.py").write_bytes((resource_folder("label_app") / "main.py").read_bytes())
    print(f"{options.output}: monailabel start_server --app {shlex.quote(str(options.output))} --studies FOLDER")
