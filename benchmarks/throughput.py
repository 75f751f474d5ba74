"""Studies an hour that polyscan prepare gets through, where the time goes, and the memory that one study needs.

    python benchmarks/throughput.py [--studies 4]

Made heads of full size: a brain study of T1, T1c, T2 and FLAIR on the 1 mm grid of T1c, and a PET/CT on a 2 mm grid.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from polyscan.discovery.scan import scan
from polyscan.phantom.cohort import make_cohort
from polyscan.preprocess.prepare import prepare

_PET_CT = [
    {"_target_": "polyscan.preprocess.LoadScansd", "modalities": ["CT", "PET"], "reference": ["CT"]},
    {"_target_": "polyscan.preprocess.RegisterRigidd", "keep_untrusted": True},
    {"_target_": "polyscan.preprocess.Resampled", "resolution": 2.0},
    {"_target_": "polyscan.preprocess.ForegroundMaskd"},
]


def measure(name: str, folder: Path, modalities: tuple[str, ...], protocol: str | Path, studies: int) -> None:
    """Prepare a cohort and print a row."""
    make_cohort(folder / "heads", subjects=studies, size="full", modalities=modalities, missing=0.0)
    found = scan(folder / "heads")
    start = time.perf_counter()
    done = prepare(found, folder / "out", protocol=protocol).studies
    took = time.perf_counter() - start
    seconds: Counter[str] = Counter()
    for study in done:
        seconds.update(study.preparation.seconds)
    total = seconds.pop("total")
    seconds["write"] = 0.0
    parts = ", ".join(f"{step} {100 * part / total:.0f} %" for step, part in seconds.most_common() if part)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"| {name} | {3600 * len(done) / took:.0f} | {total / len(done):.1f} | {parts} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=4)
    count = parser.parse_args().studies
    head = "| study | studies an hour | s a study in one process | of which | most memory of a process, GiB |"
    print(head + "\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch) / "pet_ct.yaml"
        own.write_text(yaml.safe_dump({"steps": _PET_CT}))
        measure("PET/CT at 2 mm", Path(scratch) / "pet_ct", ("CT", "PET"), own, count)
        measure("four contrasts at 1 mm", Path(scratch) / "brain", ("T1", "T1c", "T2", "FLAIR"), "brain_mri", count)
