"""See what a network makes of a cohort.

Map what a trained network makes of each study, from all of its scans together
and from each, to two dimensions by t-SNE: a table, and a picture coloured by
class, site and which scans there are. Of classifications also how much each
modality is used.

Example:
  polyscan features glioma_grading_classification out/manifest.json -o features/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_bundle, add_changes, add_output, add_weights, overrides, progress_bar


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    command.add_argument("manifest", type=Path, help="the manifest that polyscan infer wrote, or a prepared one")
    add_output(command)
    add_weights(command)
    command.add_argument("--umap", action="store_true", help="UMAP too; needs pip install 'polyscan[umap]'")
    add_changes(command)


def run(options: argparse.Namespace) -> None:
    from polyscan.export.features import write_features
    from polyscan.study.manifest import read_manifest

    with progress_bar("reading") as progress:
        written = write_features(
            options.bundle,
            read_manifest(options.manifest),
            options.output,
            weights=options.weights,
            umap=options.umap,
            overrides=overrides(options, "inference"),
            progress=progress,
        )
    if written.used:
        print("used: " + ", ".join(f"{name} {share:.2f}" for name, share in written.used.items()))
    print(*written.files, sep="\n")
