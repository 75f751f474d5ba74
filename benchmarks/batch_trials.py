"""Is a batch the same whoever does it, and does it stay as quick and as small? Tried on made studies, a tenth faulty.

    python benchmarks/batch_trials.py --studies 200 --work /tmp/trials

Each run is a ``polyscan batch`` of its own. One of two processes is what the others are compared with: two shards at
once, a Dask cluster of two workers, and a run of one process, whose memory and time are watched from study to study.
What must be the same: each mask by its bytes, which studies failed and why, what the scan left out and why, and
``cohort.csv`` but for its times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from batch_runs import Run, cluster, finish, make, outcome, start
from scipy.stats import linregress, t

from polyscan.batch import batch_status
from polyscan.study.manifest import read_manifest

WAYS = ("jobs", "shards", "dask", "alone")
TEN = 10
"""Studies whose mean is one point of a fit: neighbours are more alike than a fit of single studies would allow for."""


def told_of(out: Path, subject: str) -> str:
    """What is said of a faulty study."""
    if reason := batch_status(out).failed.get(f"sub-{subject}"):
        return f"failed: {reason}"
    left = json.loads((out / "studies.json").read_text()).get("left_out", [])
    if reasons := sorted({one["reason"] for one in left if one["series"].startswith(subject)}):
        return f"left out by the scan: {'; '.join(reasons)}"
    (study,) = read_manifest(out / "records" / f"sub-{subject}.json").testing
    sidecars = [json.loads(Path(str(scan.sidecar)).read_text()) for scan in study.scans.values()]
    repaired = [text for one in sidecars for step in one["Steps"] for text in step.get("repaired", [])]
    problems = study.preparation.problems.values() if study.preparation else ()
    return f"answered: {'; '.join([*problems, *repaired]) or 'nothing is said'}"


def watch(run: Run, out: Path) -> dict[int, tuple[float, float]]:
    """Records to the megabytes that a run holds and the seconds of a core that it took once there are so many."""
    seen: dict[int, tuple[float, float]] = {}
    while run.poll() is None:
        done = len(list(out.glob("records/[!.]*.json")))
        pages = Path(f"/proc/{run.pid}/statm").read_text().split()
        times = Path(f"/proc/{run.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        if done and len(pages) > 1 and int(pages[1]):  # one that has ended holds none
            megabytes = int(pages[1]) * resource.getpagesize() / 2**20
            seen.setdefault(done, (megabytes, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")))
        time.sleep(0.05)
    return seen


def slope(values: np.ndarray) -> np.ndarray:
    """What is added from one study to the next, and the ends of its 95 % interval."""
    means = [values[k : k + TEN].mean() for k in range(0, len(values) - TEN + 1, TEN)]
    fit = linregress(range(len(means)), means)
    return (fit.slope + np.array([0, -1, 1]) * t.ppf(0.975, len(means) - 2) * fit.stderr) / TEN


def told(slope: np.ndarray, form: str) -> str:
    """A slope and its interval in words."""
    middle, low, high = (format(value, f"+{form}") for value in slope)
    return f"{middle} ({low} to {high})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200, help="of which a tenth is faulty, in ten ways in turn")
    parser.add_argument("--only", nargs="+", default=WAYS, choices=WAYS, help="ways; the first is the others' measure")
    parser.add_argument("--work", type=Path, required=True, help="a new folder")
    options = parser.parse_args()
    ward, work = options.work / "ward", options.work
    faulty = make(ward, options.studies)
    seen: dict[int, tuple[float, float]] = {}

    def shards() -> None:
        finish(*[start(ward, work / "shards", "--jobs", "1", "--shard", f"{part}/2") for part in (1, 2)])

    def dask() -> None:
        with cluster() as (address, _):
            finish(start(ward, work / "dask", "--dask", address))

    def alone() -> None:
        run = start(ward, work / "alone", "--jobs", "1")
        seen.update(watch(run, work / "alone"))
        finish(run)

    ways: dict[str, tuple[str, Callable[[], None]]] = {
        "jobs": ("`--jobs 2`", lambda: finish(start(ward, work / "jobs", "--jobs", "2"))),
        "shards": ("`--shard 1/2` and `2/2` at once", shards),
        "dask": ("`--dask`, a cluster of two worker processes", dask),
        "alone": ("`--jobs 1`", alone),
    }
    print(f"| {options.studies} studies, {len(faulty)} faulty | seconds | answered | failed | left out | outcome |")
    print("|---|---|---|---|---|---|")
    first = options.only[0]
    for name in options.only:
        what, way = ways[name]
        begun = time.perf_counter()
        way()
        seconds = time.perf_counter() - begun
        found, expected = outcome(work / name), outcome(work / first)
        masks = sum(key.endswith(".nii.gz") for key in found)
        counts = f"{masks} | {len(batch_status(work / name).failed)} | {len(found['left out'])}"  # type: ignore[arg-type]
        differing = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        same = "what the others are compared with" if name == first else "the same" if not differing else str(differing)
        print(f"| {what} | {seconds:.0f} | {counts} | {same} |", flush=True)
    print("\n| what is wrong | what is said |\n|---|---|")
    for subject, what in faulty.items():
        print(f"| {subject}: {what} | {told_of(work / first, subject)} |")
    if len(seen) < 10 * TEN:
        return
    later = np.array([seen[count] for count in sorted(seen)][len(seen) // 5 :])
    megabytes, seconds = later[:, 0], np.diff(later[:, 1]) / np.diff(sorted(seen)[len(seen) // 5 :])
    first, last = megabytes[:TEN].mean(), megabytes[-TEN:].mean()
    print(f"\nOne process, {len(seen)} studies in turn, the first fifth left aside; slopes with 95 % intervals.")
    grown = slope(megabytes)
    kilobytes, gigabytes = told(1024 * grown, ".1f"), told(grown * 1e4 / 1024, ".2f")
    print(f"Memory: {first:.0f} MB, in the end {last:.0f} MB; {kilobytes} kB a study, {gigabytes} GB over 10,000.")
    pace, slower = seconds.mean(), told(1000 * slope(seconds), ".2f")
    print(
        f"Time: {pace:.2f} s of a core a study, {slower} ms more from one to the next, {pace * 1e4 / 3600:.1f} hours "
        "for 10,000."
    )


if __name__ == "__main__":
    main()
