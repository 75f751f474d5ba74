"""Check the download of a public data set and find its studies.

Say what of a public data set is there and what is missing, and write a
manifest of it. What is known of each stands in data_manifests/.

Example:
  polyscan dataset ucsf_pdgm /data/UCSF-PDGM-v3 -o manifest.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", help="the data set, such as brats_2021, or the path of a file that describes one")
    command.add_argument("folder", type=Path, help="where the download lies")
    command.add_argument("-o", "--output", type=Path, help="the manifest to write")


def run(options: argparse.Namespace) -> None:
    from polyscan.discovery.datasets import match_download, read_dataset, summary
    from polyscan.study.manifest import write_manifest
    from polyscan.study.outputs import check_writable_file, replace_file

    if options.output is not None:
        check_writable_file(options.output, "manifest")
    dataset = read_dataset(options.name)
    manifest, missing = match_download(dataset, options.folder)
    print(f"{dataset['name']} ({dataset['licence']})\nPlease cite: {dataset['citation']}\n\n{summary(manifest)}")
    for sentence in missing[:20]:
        print(f"missing: {sentence}", file=sys.stderr)
    if len(missing) > 20:
        print(f"missing: {len(missing) - 20} more like these", file=sys.stderr)
    if "settings" in dataset:
        settings = " ".join(f"--set '{name}={json.dumps(value)}'" for name, value in dataset["settings"].items())
        print(f"\nto train {dataset['bundle']} on it: {settings}")
    if options.output is not None:
        with replace_file(options.output, "manifest"):
            write_manifest(options.output, manifest)
        print(f"\n{len(manifest.studies)} studies in {options.output}")
