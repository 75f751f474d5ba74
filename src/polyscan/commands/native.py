"""Take predicted masks back to the scans' own grids.

Write each predicted mask on the grid of each scan of its study as it was
acquired, by the inverse of the scan's registration.

Example:
  polyscan native out/ -o native/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_output, progress_bar, tell_failed


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder that polyscan infer wrote")
    add_output(command)


def run(options: argparse.Namespace) -> int:
    from polyscan.preprocess.native import write_native
    from polyscan.study.manifest import MANIFEST, read_manifest

    with progress_bar("resampling") as progress:
        written = write_native(read_manifest(options.folder / MANIFEST), options.output, progress=progress)
    print(f"{written} in {options.output}")
    return tell_failed(written)
