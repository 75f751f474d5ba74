"""Make what a network says of its certainty true.

Fit probabilities and prediction sets of a classifier, or intervals of the
volumes of a segmentation, on the section 'validation', with modalities left
out too. calibration.json is written beside the weights; polyscan infer uses it
from then on. With --risk the threshold of a segmentation is lowered until no
more of a region is missed, on average; threshold.json is written beside the
weights, for polyscan infer --config.

Example:
  polyscan calibrate BUNDLE prepared/manifest.json --weights run/model.pt
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from polyscan.commands.options import add_bundle, add_changes, add_weights, overrides, progress_bar
from polyscan.errors import PolyscanError
from polyscan.study.prediction import CalibrationMethod


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    command.add_argument("manifest", type=Path, help="a prepared manifest; its section validation was not trained on")
    add_weights(command)
    promise = command.add_mutually_exclusive_group()
    promise.add_argument(
        "--coverage", type=float, default=0.9, help="how often a set, or an interval, is to hold the truth (0.9)"
    )
    promise.add_argument(
        "--risk", type=float, help="of a segmentation: which part of a region may be missed, on average"
    )
    command.add_argument(
        "--method",
        choices=get_args(CalibrationMethod),
        help="of a classifier: soften answers; move each class too, of over 100 studies; or bend each, of over 500 "
        "(temperature)",
    )
    add_changes(command)


def run(options: argparse.Namespace) -> None:
    from polyscan.bundle.calibrate import calibrate
    from polyscan.bundle.control_risk import control_risk

    if options.method and options.risk is not None:
        raise PolyscanError("--method is of a classifier and --risk of a segmentation; give one of them.")
    changed = overrides(options, "inference")
    with progress_bar("calibrating") as progress:
        given: Any = {"weights": options.weights, "overrides": changed, "progress": progress}
        if options.risk is None:
            given |= {"coverage": options.coverage, "method": options.method}
            path = calibrate(options.bundle, options.manifest, **given)
        else:
            path = control_risk(options.bundle, options.manifest, risk=options.risk, **given)
    print(path)
