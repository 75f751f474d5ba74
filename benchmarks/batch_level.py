"""Whether memory and time stay level over many studies in one process, and what 10,000 would come to.

    python benchmarks/batch_level.py --studies 200 --work /tmp/level

The batch of ``batch_trials.py``, its faulty tenth too, in this process and without pages. After each study its time of
a core and the memory that the process holds then are noted. The slopes leave out the first fifth, while caches fill;
their 95 % intervals are from resampled blocks of ten studies in a row.
"""

from __future__ import annotations

import argparse
import csv
import time
from functools import partial
from pathlib import Path

import numpy as np
from batch_runs import BUNDLE, make

from polyscan.batch import batch
from polyscan.batch.executors import local

BLOCK, MANY = 10, 10_000


def held() -> float:
    """Megabytes that this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def slope(values: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """By how much values grow a study, and the 95 % interval."""
    place = np.arange(len(values))
    line = np.polyfit(place, values, 1)
    rest = values - np.polyval(line, place)
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, len(values) - BLOCK + 1, (draws, -(-len(values) // BLOCK)))
    drawn = rest[(blocks[..., None] + np.arange(BLOCK)).reshape(draws, -1)[:, : len(values)]]
    slopes = np.polyfit(place, (np.polyval(line, place) + drawn).T, 1)[0]
    return float(line[0]), *(float(x) for x in np.percentile(slopes, [2.5, 97.5]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--work", type=Path, required=True, help="a new folder for the studies, the batch and a table")
    options = parser.parse_args()
    make(options.work / "ward", options.studies)
    rows: list[tuple[float, float]] = []
    last = time.process_time()

    def note(_done: int, _total: int, _key: str) -> None:
        nonlocal last
        now = time.process_time()
        rows.append((now - last, held()))
        last = now
        with (options.work / "level.csv").open("a", newline="") as table:
            csv.writer(table).writerow(rows[-1])

    batch(
        BUNDLE,
        options.work / "ward",
        options.work / "out",
        registered=True,
        pages=False,
        executor=partial(local, jobs=1),
        progress=note,
    )
    seconds, memory = np.array(rows[len(rows) // 5 :]).T
    for name, unit, values in (("time of a core", "s", seconds), ("memory", "MB", memory)):
        grows, low, high = slope(values)
        told = ", ".join(f"{each:+.2g}" for each in (grows, low, high))
        more = ", ".join(f"{MANY * each:+.0f}" for each in (grows, low, high))
        print(
            f"{name}: median {np.median(values):.3f} {unit} of {len(values)} studies; slope and interval {told} a study"
        )
        print(f"    over {MANY} studies: {more} {unit}")


if __name__ == "__main__":
    main()
