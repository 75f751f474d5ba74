"""Whether studies of another centre are told as atypical: PI-CAI's tables, a network of one centre.

    python benchmarks/cohorts.py picai_tables_glands marksheet_A.csv glands_A.npz picai/
    python benchmarks/shift.py picai/manifest.json run/ [--centre RUMC]

The network of ``--config picai_cspca`` learns from four fifths of the centre's men, three quarters of them for training
and one for calibration, as ``polyscan train`` and ``polyscan calibrate`` do. Printed is, for the last fifth of the
centre and for each other centre, how many studies have a table that is atypical, and each table's part, with 95 %
intervals (Wilson). Of studies like those of the calibration 5 % at most should have one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from scipy.stats import binomtest

from polyscan.bundle.calibrate import calibrate
from polyscan.bundle.encoder import StudyEncoder
from polyscan.bundle.fragment import read_fragment
from polyscan.bundle.run import train
from polyscan.inference import load_calibration
from polyscan.study import Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.prediction import atypical

BUNDLE, FRAGMENT = "glioma_grading_classification", "picai_cspca"
PARTS = {"testing": {0}, "calibration": {1}, "training": {2, 3, 4}}
"""Folds of the centre's men."""


def share(found: list[bool]) -> str:
    """How many, with the interval."""
    within = binomtest(sum(found), len(found)).proportion_ci(method="wilson")
    return f"{100 * sum(found) / len(found):.0f} % ({100 * within.low:.0f} to {100 * within.high:.0f})"


def main() -> None:
    """Train, calibrate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--centre", default="RUMC")
    options = parser.parse_args()
    found = read_manifest(options.manifest)
    own = [study for study in found.studies if study.centre == options.centre]
    folds = {name: [study for study in own if study.fold in which] for name, which in PARTS.items()}
    parts = {name: [replace(study, fold=None) for study in studies] for name, studies in folds.items()}
    prepared = options.out / "manifest.json"
    write_manifest(prepared, Manifest(roots=found.roots, training=parts["training"], validation=parts["calibration"]))
    weights = train(BUNDLE, prepared, options.out / "run", overrides=read_fragment(FRAGMENT, "train"))
    overrides = read_fragment(FRAGMENT, "inference")
    calibration = calibrate(BUNDLE, prepared, weights=weights, overrides=overrides)
    encoder = StudyEncoder(BUNDLE, weights, overrides)
    known = load_calibration(calibration, encoder.parser["tasks"], encoder.network.modalities)

    def typicality(study: Study) -> dict[str, float]:
        with torch.inference_mode():
            cached, _ = encoder.encode(study, list(known.tasks))
        return known.typicality(cached.described()[0], cached.available[0])

    others = sorted({str(study.centre) for study in found.studies} - {options.centre})
    groups = {f"{options.centre}, held out": parts["testing"]}
    groups |= {name: [study for study in found.studies if study.centre == name] for name in others}
    print(f"Learnt from {len(parts['training'])} studies, calibrated on {len(parts['calibration'])}.\n")
    print("| centre | studies | any | " + " | ".join(known.distances) + " |")
    print("|---" * (3 + len(known.distances)) + "|")
    for name, studies in groups.items():
        told = [typicality(study) for study in studies]
        row = [share([bool(atypical(each)) for each in told])]
        for table in known.distances:
            there = [table in atypical(each) for each in told if table in each]
            row.append(f"{share(there)} of {len(there)}" if there else "none there")
        print(f"| {name} | {len(studies)} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
