"""How soon the page of a cohort of made studies is there: python benchmarks/cohort_page.py [STUDIES] [FOLDER].

Writes a page of 10,000 studies, whose pages and pictures are not made, into a folder, opens it from the disk in a
headless Chromium, and says after how many milliseconds it was drawn, how many rows are in the document, and how large
it is.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from browser import chromium, open_page

from polyscan.report import write_cohort_page
from polyscan.study import PredictionRecord, Preparation, RegionScore, Study, TaskPrediction, VolumeInterval
from polyscan.study.manifest import Failure, Manifest

REGIONS = ("whole tumour", "tumour core", "enhancing tumour")


def made_score(rng: np.random.Generator, ml: float) -> RegionScore:
    """Of a region of so many millilitres."""
    return RegionScore(float(rng.beta(18, 2)), ml, ml, float(rng.gamma(4, 1)), float(rng.beta(12, 3)))


def made_cohort(count: int) -> Manifest:
    """Studies with three regions and a task; one in fifty failed, one in a hundred has a volume that stands out."""
    rng = np.random.default_rng(0)
    studies, failed = [], []
    for k in range(count):
        if k % 50 == 7:
            failed.append(
                Failure(f"sub-{k:05d}", "T1: slices 12 and 13 are missing, expected 155 evenly spaced slices.")
            )
            continue
        study = Study(f"{k:05d}", preparation=Preparation("brain_mri", "T1c", seconds={"total": rng.gamma(9, 1)}))
        volumes = dict(zip(REGIONS, rng.lognormal([3, 2, 1], 0.4), strict=True))
        if k % 100 == 3:
            volumes["whole tumour"] *= 12
        uncertainty = float(rng.beta(2, 8))
        grade = TaskPrediction("4" if k % 3 else "3", probabilities={"3": 0.4, "4": 0.6}, uncertainty=uncertainty)
        study.prediction = PredictionRecord(
            f"sub-{k:05d}_pred.nii.gz",
            ["T1", "T1c", "T2", "FLAIR"],
            {name: made_score(rng, ml) for name, ml in volumes.items()},
            {"grade": grade},
            volumes,
            float(rng.gamma(4, 1)),
            volume_intervals={name: VolumeInterval(0.7 * ml, 1.4 * ml, 0.9) for name, ml in volumes.items()},
            confidence={name: float(rng.beta(16, 3)) for name in volumes},
        )
        studies.append(study)
    return Manifest(testing=studies, failed=failed)


def main(count: int, folder: Path) -> None:
    """Write the page and open it three times."""
    write_cohort_page(made_cohort(count), folder / "report.html", folder / "report")
    sizes = [f"{(folder / name).stat().st_size / 1e6:.1f} MB" for name in ("report.html", "report/studies.js")]
    with chromium() as driver:
        for _ in range(3):
            ready = open_page(driver, folder / "report.html")
            held = driver.execute_script("return document.querySelectorAll('#table tbody tr').length")
            print(f"{count} studies ({' and '.join(sizes)}): drawn after {ready} ms, {held} rows in the document")


if __name__ == "__main__":
    where = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp())
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, where)
