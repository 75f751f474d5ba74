"""Find the studies in a folder.

Find studies and series in a tree of DICOM and NIfTI files and write a
manifest.

Example:
  polyscan scan ward/ -o manifest.json --clinical patients.csv
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import progress_bar


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder to look through")
    command.add_argument("-o", "--output", type=Path, required=True, help="the manifest to write")
    command.add_argument("--clinical", type=Path, help="a CSV or TSV table with one row a subject")
    command.add_argument("--labels", type=Path, help="a table like it whose columns are to be learnt, such as grade")
    command.add_argument(
        "--join-sessions",
        action="store_true",
        help="one study a subject, such as before and after treatment",
    )
    command.add_argument(
        "--columns",
        nargs="+",
        help="which columns of the clinical table are used; where not given, those whose names are known, such as age",
    )
    command.add_argument(
        "--pet-units", help="the unit of PET volumes without a sidecar, such as SUV; DICOM tells it by itself"
    )
    command.add_argument(
        "--index",
        type=Path,
        help="keep what was read in this file, so that the next scan reads only what changed; it holds headers, so "
        "keep it private",
    )
    command.set_defaults(kept="no manifest was written; give the same command again.")


def run(options: argparse.Namespace) -> None:
    from polyscan.discovery.scan import scan
    from polyscan.study.manifest import write_manifest
    from polyscan.study.outputs import check_writable_file, replace_file

    check_writable_file(options.output, "manifest")
    with progress_bar("scanning") as progress:
        manifest = scan(
            options.folder,
            clinical=options.clinical,
            labels=options.labels,
            join=options.join_sessions,
            pet_units=options.pet_units,
            columns=options.columns,
            index=options.index,
            progress=progress,
        )
    with replace_file(options.output, "manifest"):
        write_manifest(options.output, manifest)
        options.output.chmod(0o600)  # paths may name patients
    for study in manifest.studies:
        print(f"{study.key}: {', '.join(study.scans)}" + (" with label" if study.label else ""))
        for decision in study.decisions:
            word = f"took as {decision.modality}" if decision.taken else "left out"
            print(f"  {decision.series}: {word}: {decision.reason}")
    for old, new in manifest.renamed.items():
        print(f"{old} is called {new}: a key needs letters and digits of its own")
    for decision in manifest.left_out:
        print(f"{decision.series}: left out: {decision.reason}")
    count = len(manifest.doubts)
    print(f"{len(manifest.studies)} studies in {options.output}" + (f"; to be looked at: {count}" if count else ""))
    for doubt in manifest.doubts:
        print(f"  {doubt}")
