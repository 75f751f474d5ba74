"""``polyscan calibrate``: make a classifier's probabilities mean what they say."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polyscan.commands.options import add_changes, overrides, progress_bar


def add(commands: Any) -> argparse.ArgumentParser:
    command = commands.add_parser(
        "calibrate",
        help="make a classifier's probabilities mean what they say",
        description="Fit temperatures and prediction sets on the section 'validation', with modalities left out too. "
        "calibration.json is written beside the weights; polyscan infer uses it from then on.",
        epilog="example:\n  polyscan calibrate BUNDLE prepared/manifest.json --weights run/model.pt",
    )
    command.add_argument("bundle", help="a bundle's name, such as glioma_grading_classification, or its folder")
    command.add_argument("manifest", type=Path, help="a prepared manifest; its section validation was not trained on")
    command.add_argument("--weights", type=Path, help="a file of weights; the bundle's own where not given")
    command.add_argument("--coverage", type=float, default=0.9, help="how often a set is to hold the true class (0.9)")
    add_changes(command)
    command.set_defaults(run=run)
    return command


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
