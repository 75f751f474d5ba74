"""Make a classifier's probabilities mean what they say.

Fit temperatures and prediction sets on the section 'validation', with
modalities left out too. calibration.json is written beside the weights;
polyscan infer uses it from then on.

Example:
  polyscan calibrate BUNDLE prepared/manifest.json --weights run/model.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from polyscan.commands.options import add_bundle, add_changes, add_weights, overrides, progress_bar


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    command.add_argument("manifest", type=Path, help="a prepared manifest; its section validation was not trained on")
    add_weights(command)
    command.add_argument("--coverage", type=float, default=0.9, help="how often a set is to hold the true class (0.9)")
    add_changes(command)


def run(options: argparse.Namespace) -> None:
    from polyscan.bundle.calibrate import calibrate

    with progress_bar("calibrating") as progress:
        path = calibrate(
            options.bundle,
            options.manifest,
            weights=options.weights,
            coverage=options.coverage,
            overrides=overrides(options, "inference"),
            progress=progress,
        )
    print(path)
