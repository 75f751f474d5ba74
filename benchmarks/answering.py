"""What `polyscan infer` waits for, and what a window costs: loading ahead of the network, and windows in batches.

    python benchmarks/answering.py BUNDLE MANIFEST [--studies 12] [--repeats 4]

The prepared studies of a manifest, by the bundle's own weights and one thread: which share of the wall time the
network waits for a study that is loaded while it answers for the last one, and for one that is loaded after it, in
turns; and the core seconds of a window of a bundle that reads windows, so many at once.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyscan.bundle import predictor as predictors
from polyscan.bundle.config import bundle_folder, read_config
from polyscan.bundle.run import load_predictor
from polyscan.study.manifest import Manifest, read_manifest

AT_ONCE = (1, 2, 4, 8, 16)
Ahead = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Future[Any]]]


def one_after(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Future[Any]]:
    """As ``one_ahead``, but called only when the caller wants it."""
    for item in items:
        result: Future[Any] = Future()
        result.set_result(function(item))
        yield result


def waited(results: Iterator[Future[Any]], seconds: list[float]) -> Iterator[Future[Any]]:
    """The results, once they are there; how long that took is added to ``seconds``."""
    while True:
        start = time.perf_counter()
        result = next(results, None)
        if result is None:
            return
        result.exception()
        seconds.append(time.perf_counter() - start)
        yield result


def waiting(predictor: predictors.StudyPredictor, manifest: Manifest, out: Path, repeats: int) -> None:
    """Print which share of a run's time is waited for studies."""
    ways: dict[str, Ahead] = {"after the last": one_after, "while it answers": predictors.one_ahead}
    shares: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds: list[float] = []
            predictors.one_ahead = lambda function, items, way=way, to=seconds: waited(way(function, items), to)
            start = time.perf_counter()
            predictor.run(manifest, out)
            shares[name].append(sum(seconds) / (time.perf_counter() - start))
    print("| loaded | share of the time that the network waits |\n|---|---|")
    for name, each in shares.items():
        print(f"| {name} | {np.median(each):.3f} ({min(each):.3f} to {max(each):.3f}) |")
    print(f"\nMost memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB\n")


def windows(network: torch.nn.Module, shape: Sequence[int], repeats: int) -> None:
    """Print what a window costs in batches of several."""
    times: dict[int, list[float]] = {count: [] for count in AT_ONCE}
    with torch.inference_mode():
        network(torch.randn(1, *shape))
        for _ in range(repeats):
            for count, each in times.items():
                image, start = torch.randn(count, *shape), time.process_time()
                network(image)
                each.append((time.process_time() - start) / count)
    print("| windows at once | core seconds of a window, as a multiple of one alone |\n|---|---|")
    for count, each in times.items():
        ratios = np.array(each) / np.array(times[1])
        print(f"| {count} | {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = read_manifest(options.manifest)
    few = replace(found, testing=found.tested[: options.studies], training=[], validation=[])
    config = read_config(bundle_folder(options.bundle), "inference", {})
    with tempfile.TemporaryDirectory() as scratch:
        predictor = load_predictor(options.bundle, Path(scratch) / "out")
        waiting(predictor, few, Path(scratch) / "out", options.repeats)
        network, sizes = predictor.evaluator.network, config["roi_size"]
        windows(network.eval(), [len(config["modalities"]), *sizes], options.repeats)


if __name__ == "__main__":
    main()
