"""Look for what may tell who a patient is.

Look in the outputs of a folder for what the headers of their sources hold of a
patient, and for the names of their files and folders; nothing is changed. Ends
with status 1 where something was found.

Example:
  polyscan check-privacy out/
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="what polyscan prepare or a later command wrote")
    command.add_argument("--sources", type=Path, help="the sources.json that polyscan prepare wrote")


def run(options: argparse.Namespace) -> int:
    from polyscan.study.privacy import PRIVATE, check_privacy

    found = check_privacy(options.folder, options.sources)
    for finding in found:
        print(f"{finding.file} holds {finding.what} of {finding.study}")
    for file in sorted(path for path in options.folder.rglob("*") if path.name in PRIVATE):
        print(f"{file} is private: leave it out of what you share")
    print(f"{len(found)} findings in {options.folder}")
    return 1 if found else 0
