"""Whether probabilities and prediction sets of a trained network hold what they promise, for every pattern of scans.

    python benchmarks/calibrated.py [--tasks diagnosis shared_latent] [--method temperature] [--subjects 5000]

On made tasks of vectors: concatenation learns from 1500 subjects, modalities left out. Calibration is fitted as
``polyscan calibrate`` does, temperatures on one half of other subjects and sets of 90 % on the other half; each half,
and those who are asked at last, are as many as ``--subjects``, and each subject is read from every subset of the
modalities. Printed by task: how many patterns there are, and of these the largest expected calibration error before
and after, how many are above the 95 % quantile of perfectly calibrated probabilities (of which chance alone puts one
in twenty above), and between what the coverage of sets lies. ``--each`` prints every pattern.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
import torch
from strategies import MADE, SUBJECTS

from polyscan.compare.network import TrainedNetwork
from polyscan.compare.protocol import Protocol, Strategy
from polyscan.evaluation.calibration import calibrated_error_quantile, expected_calibration_error
from polyscan.inference.calibration import CALIBRATIONS
from polyscan.inference.conformal import pattern_of
from polyscan.inference.task_calibration import fit_calibration
from polyscan.phantom.tasks import find_task, task_names

COVERAGE = 0.9
TRIALS = 200


def by_pattern(name: str, method: str, subjects: int) -> dict[str, tuple[float, float, float, float]]:
    """Pattern to the error before and after calibration, its quantile by chance, and the coverage of sets."""
    task = find_task(name)
    modalities = len(task.modalities)
    patterns = np.array([pattern for pattern in product([True, False], repeat=modalities) if any(pattern)])

    def drawn(count: int, seed: int) -> tuple[torch.Tensor, np.ndarray]:
        made = task.draw(count, seed)
        return torch.from_numpy(made.x).float(), made.y

    x, y = drawn(SUBJECTS, 0)
    protocol = Protocol({}, **{**MADE, "strategies": {}})
    network = TrainedNetwork(Strategy(), protocol, x, torch.from_numpy(y), len(task.classes), seed=0)

    def logits(x: torch.Tensor, pattern: np.ndarray) -> np.ndarray:
        gone = ~torch.from_numpy(pattern)[None, :, None]
        return np.log(network.probabilities(x.masked_fill(gone, torch.nan)).clip(1e-12))

    known, truth = drawn(2 * subjects, 1)
    fitted = fit_calibration(
        {name: task.classes},
        task.modalities,
        np.concatenate([logits(known, pattern) for pattern in patterns]),
        np.tile(truth, len(patterns))[:, None].astype(float),
        np.repeat(patterns, len(truth), axis=0),
        [str(k) for k in range(len(truth))] * len(patterns),
        coverage=COVERAGE,
        method=method,
    )
    x, y = drawn(subjects, 2)
    found = {}
    for pattern in patterns:
        raw = logits(x, pattern)
        p = fitted.temperatures[name].probabilities(raw, pattern)
        held = p[np.arange(len(y)), y] >= fitted.sets[name].thresholds[pattern_of(pattern)]
        found[pattern_of(pattern)] = (
            expected_calibration_error(np.exp(raw), y),
            expected_calibration_error(p, y),
            calibrated_error_quantile(p, trials=TRIALS),
            float(held.mean()),
        )
    return found


def main() -> None:
    """Print a row for each task, or for each pattern."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    vectors = [name for name in task_names() if not find_task(name).is_image]
    parser.add_argument("--tasks", nargs="+", default=vectors, choices=vectors)
    parser.add_argument("--method", default="temperature", choices=list(CALIBRATIONS))
    parser.add_argument("--subjects", type=int, default=5000)
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()
    print("| task | patterns | ECE before, largest | ECE, largest | above the quantile | coverage of 0.9 |")
    print("|---|---|---|---|---|---|")
    for name in options.tasks:
        found = by_pattern(name, options.method, options.subjects)
        before, after, chance, held = np.array(list(found.values())).T
        print(
            f"| {name} | {len(found)} | {before.max():.3f} | {after.max():.3f} | {(after > chance).sum()} | "
            f"{held.min():.3f} to {held.max():.3f} |",
            flush=True,
        )
        for pattern, (*errors, held_in) in found.items() if options.each else ():
            print(f"|   {pattern} | " + " | ".join(f"{error:.4f}" for error in errors) + f" | {held_in:.4f} |")


if __name__ == "__main__":
    main()
