"""Whether a scan that may be spoiled is better weighed than read as absent, with answers that are the best possible.

    python benchmarks/scan_weights.py [--subjects 8000]

The task ``diagnosis``, its exact posterior for every subset of the contrasts: no network is trained, so that what is
compared is the rule alone. FLAIR of some subjects is noise of so many standard deviations of the true values. How
unlike known scans a scan is, is told by its Mahalanobis distance to 2000 others, and turned

- into availability, as ``polyscan infer --ignore-atypical`` does (``absent``),
- into a weight of subsets (``subsets``): the answer expected over which scans are usable, each with the probability
  q = B (1 - s) / (B (1 - s) + s), B = -e p log p below p = 1/e (Sellke et al., The American Statistician 2001), of
  a rate s of spoiled scans of 0.1,
- into a weight of evidence (``power``): the product of the posteriors of each scan, each to the power q.

Written are accuracy and log loss, and points of accuracy over ``absent`` with the 95 % interval, normal, over subjects.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from numpy.typing import NDArray

from polyscan.phantom.tasks import Drawn, Task, find_task
from polyscan.study.prediction import atypical

SPOILED, RATE = "FLAIR", 0.1
Array = NDArray[np.float64]


def typicality(x: Array, known: Array) -> Array:
    """(subject, modality): how often one of the known is as far from their mean; see the module."""
    found = []
    for m in range(x.shape[1]):
        precision = np.linalg.inv(np.cov(known[:, m].T))
        far, ours = (
            np.einsum("ni,ij,nj->n", away, precision, away)
            for away in (known[:, m] - known[:, m].mean(0), x[:, m] - known[:, m].mean(0))
        )
        found.append((1 + len(far) - np.searchsorted(np.sort(far), ours)) / (1 + len(far)))
    return np.stack(found, axis=1)


def usable(p: Array) -> Array:
    """How probably a scan is not spoiled; see the module."""
    factor = np.where(p < 1 / np.e, -np.e * p * np.log(p), 1.0)
    found: Array = factor * (1 - RATE) / (factor * (1 - RATE) + RATE)
    return found


def answers(task: Task, x: Array, y: NDArray[np.int64], p: Array) -> dict[str, Array]:
    """Rule to (subject, class) probabilities."""
    names = task.modalities
    everything = tuple(range(len(names)))
    subsets = [s for k in range(1, len(names) + 1) for s in itertools.combinations(everything, k)]
    told = {s: task.posterior(Drawn(x, y, {}), [names[m] for m in s]) for s in subsets}
    out = [{names.index(n) for n in atypical(dict(zip(names, row, strict=True)))} for row in p]
    kept = [tuple(m for m in everything if m not in gone) or everything for gone in out]
    q = usable(p)
    weights = {s: np.prod([q[:, m] if m in s else 1 - q[:, m] for m in everything], axis=0) for s in subsets}
    mixed = sum(weights[s][:, None] * told[s] for s in subsets) / sum(weights.values())[:, None]
    power = np.prod([told[(m,)] ** q[:, m : m + 1] for m in everything], axis=0)
    return {
        "as it is": told[everything],
        "absent": np.stack([told[s][i] for i, s in enumerate(kept)]),
        "subsets": mixed,
        "power": power / power.sum(1, keepdims=True),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=8000)
    options = parser.parse_args()
    task = find_task("diagnosis")
    drawn, known = task.draw(options.subjects, 3), task.draw(2000, 4).x
    m = task.modalities.index(SPOILED)
    print("| noise | spoiled | rule | accuracy | log loss |\n|---|---|---|---|---|")
    for scale, share in itertools.product((1.5, 2.0, 3.0), (0.1, 0.5)):
        chance = np.random.default_rng(0)
        bad = chance.random(len(drawn.y)) < share
        x = drawn.x.copy()
        x[bad, m] = known[:, m].mean(0) + scale * known[:, m].std(0) * chance.standard_normal(x[bad, m].shape)
        told = answers(task, x, drawn.y, typicality(x, known))
        right = {rule: (p.argmax(1) == drawn.y).astype(float) for rule, p in told.items()}
        for rule, p in told.items():
            gain = 100 * (right[rule] - right["absent"])
            within = 1.96 * gain.std() / len(gain) ** 0.5
            loss = -np.log(np.clip(p[np.arange(len(p)), drawn.y], 1e-12, 1)).mean()
            print(
                f"| {scale} | {share:.0%} | {rule} | {right[rule].mean():.3f} "
                f"({gain.mean() - within:+.1f} to {gain.mean() + within:+.1f}) | {loss:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
