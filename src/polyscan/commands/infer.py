r"""Predict with a bundle.

Predict for prepared studies, whichever modalities each has; short for python
-m monai.bundle run inside the bundle. Masks lie in the reference scan's own
space.

Example:
  polyscan infer sarcoma_ct_mr_pet_segmentation prepared/manifest.json -o out/ \
      --weights run/model.pt --without T1
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from polyscan.commands.options import (
    FINISHED_STUDIES,
    add_bundle_arguments,
    add_inference_options,
    add_weights,
    inference_options,
    overrides,
    progress_bar,
    roots,
    tell_failed,
)


def add(command: argparse.ArgumentParser) -> None:
    add_bundle_arguments(command)
    weights = command.add_mutually_exclusive_group()
    add_weights(weights)
    weights.add_argument(
        "--ensemble",
        type=Path,
        nargs="+",
        help="the mean of several networks: their files of weights, or a folder that polyscan train --folds wrote",
    )
    weights.add_argument(
        "--out-of-fold",
        metavar="FOLDER",
        type=Path,
        help="answer for each study of a cross-validation by the network that has not learnt from it: the folder that "
        "polyscan train --folds wrote",
    )
    command.add_argument(
        "--without", metavar="MODALITY", nargs="+", default=[], help="treat these modalities as not acquired"
    )
    add_inference_options(command)
    command.set_defaults(kept=FINISHED_STUDIES)


def run(options: argparse.Namespace) -> int:
    from polyscan.bundle.folds import infer_folds, members
    from polyscan.bundle.run import infer
    from polyscan.study.manifest import read_manifest

    asked, changed = inference_options(options), overrides(options, "inference")
    found = read_manifest(options.manifest, roots(options))
    with progress_bar("predicting") as progress:
        given: Any = {"absent": options.without, "options": asked, "overrides": changed, "progress": progress}
        if options.out_of_fold:
            result = infer_folds(options.bundle, found, options.out_of_fold, options.output, **given)
        else:
            weights = members(options.ensemble) if options.ensemble else options.weights
            result = infer(options.bundle, found, options.output, weights=weights, **given)
    for told in result.cautions:
        print(told)
    if options.out_of_fold:
        if others := len(found.studies) - len(result.studies) - len(result.failed):
            print(f"Answers are given for the studies of a fold; {others} others have none.")
    elif others := len(found.studies) - len(found.tested):
        print(f"Answers are given for the section testing; {others} studies of training and validation have none.")
    print(f"{len(result.studies)} predictions in {options.output / 'manifest.json'}")
    return tell_failed(result)
