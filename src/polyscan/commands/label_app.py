"""Write the folder that MONAI Label serves.

Write an app folder for monailabel start_server; polyscan must be installed
beside MONAI Label.

Example:
  polyscan label-app app/
  monailabel start_server --app app/ --studies ward/
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("output", type=Path, help="the folder to write")


def run(options: argparse.Namespace) -> None:
    from polyscan.files.owned import replace_owned
    from polyscan.files.resources import resource_folder
    from polyscan.study.outputs import OutputFolder

    owned = OutputFolder.claim(options.output, "label-app")
    owned.will_hold(["main.py"])
    with replace_owned(owned.path, group="app") as folder:
        (folder / "main.py").write_bytes((resource_folder("label_app") / "main.py").read_bytes())
    print(f"{options.output}: monailabel start_server --app {shlex.quote(str(options.output))} --studies FOLDER")
