"""How long a label server's requests take: a first one, which prepares the study and loads the bundle, and later ones.

``python benchmarks/label_latency.py [--repeats N]``, in the label environment or any other: it asks the server's own
service, without HTTP, for the masks of made heads with four contrasts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from polyscan.files.resources import resource_folder
from polyscan.label_app.service import StudyService
from polyscan.label_app.sources import FolderStudies
from polyscan.phantom import make_cohort

BRAIN = "brain_mri_tumour_segmentation"


def main() -> None:
    """Print wall and CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        contrasts = ("T1", "T1c", "T2", "FLAIR")
        make_cohort(Path(folder) / "heads", subjects=2, seed=5, modalities=contrasts, missing=0.0)
        service = StudyService(FolderStudies(Path(folder) / "heads"), [resource_folder("bundles") / BRAIN])

        def ask(name: str) -> tuple[float, float]:
            wall, processor = time.perf_counter(), time.process_time()
            service.predict(BRAIN, service.find(name), Path(folder) / "answer")
            return time.perf_counter() - wall, time.process_time() - processor

        asked = {"first, imports included": [ask("sub-001")], "first of another study": [ask("sub-002")]}
        asked["later"] = [ask("sub-001") for _ in range(repeats)]
    for name, times in asked.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:25s} {wall:6.2f} s, {processor:6.2f} s of CPU (median of {len(times)})")


if __name__ == "__main__":
    main()
