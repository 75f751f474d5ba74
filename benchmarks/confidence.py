"""Which number of a mask tells best where it is wrong: its confidence, or how large it is.

    polyscan infer BUNDLE testing/manifest.json -o out/ --weights run/model.pt
    python benchmarks/confidence.py out/manifest.json

Of every region of the studies whose mask is known, the area under the curve of 1 - Dice over coverage (lower is better)
where the surest are answered first: by the soft Dice that the record tells as ``confidence``, by the volume that was
marked, in any order, and in the best one. In brackets 95 % intervals of 1000 draws of patients, also of differences
from confidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyscan.evaluation import bootstrap
from polyscan.evaluation.calibration import area_under_risk_coverage
from polyscan.study.manifest import read_manifest

Array = NDArray[np.float64]


def scored(manifest: Path) -> tuple[list[str], Array]:
    """Patients, and (region, 3) Dice, confidence and volume; of a region of which nothing is marked the last are 0."""
    patients, rows = [], []
    for study in read_manifest(manifest).studies:
        said = study.prediction
        for region, scores in said.scores.items() if said else ():
            if said and scores.dice is not None:
                patients.append(study.subject)
                rows.append([scores.dice, said.confidence.get(region, 0.0), said.volumes_ml.get(region, 0.0)])
    return patients, np.array(rows)


RULES: dict[str, Callable[[Array], float]] = {
    "confidence": lambda of: area_under_risk_coverage(1 - of[:, 1], 1 - of[:, 0]),
    "volume": lambda of: area_under_risk_coverage(-of[:, 2], 1 - of[:, 0]),
    "any order": lambda of: float(1 - of[:, 0].mean()),
    "the best order": lambda of: area_under_risk_coverage(1 - of[:, 0], 1 - of[:, 0]),
}


def main() -> None:
    """Print a row for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    patients, of = scored(parser.parse_args().manifest)
    print(f"{len(of)} regions of {len(set(patients))} patients, Dice {of[:, 0].mean():.3f}\n")
    print("| the surest first by | area | less that of confidence |\n|---|---|---|")
    for name, rule in RULES.items():
        area = bootstrap(lambda rows, rule=rule: rule(of[rows]), patients)
        less = bootstrap(lambda rows, rule=rule: rule(of[rows]) - RULES["confidence"](of[rows]), patients)
        print(f"| {name} | {area} | {less if name != 'confidence' else ''} |")


if __name__ == "__main__":
    main()
