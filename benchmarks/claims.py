"""What stored results say of the field's claims on fusion, with intervals: no training.

    python benchmarks/claims.py

Of ``strategies.csv`` the mean over tasks and cohorts of patients of what a strategy has over concatenation, in points
of AUROC: one mean a source, complete and with modalities missing, the 95 % interval of the t distribution over
sources, and by the Bayesian signed-rank test how probable it is that it is worse by more than a point, as good, and
better by more than a point. Of each table that ``polyscan compare`` wrote, ``compare_*.csv``: what part of the best
possible accuracy each strategy has, what over concatenation, and what it keeps where a modality is gone, or holds noise
in place of what it measured. Of each task with a known optimum, of either kind of table, the strategy that told most
subjects right, as a part of the best that can be: of images as their protocol changes the law.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

from polyscan.advise.evidence import stored_cohorts
from polyscan.compare.protocol import CONCATENATION
from polyscan.evaluation.statistics import Interval, SignedRank, bayesian_signed_rank
from polyscan.files.atomic import read_json

RESULTS = Path(__file__).parent / "results"
CLAIMED = ("concatenation at every level", "gated sum", "attention weighted", "self-attention")
ROPE = 1.0
"""Points of AUROC within which two strategies are as good in practice."""


def over_sources(strategy: str, one_gone: bool = False) -> tuple[Interval, SignedRank, int, int]:
    """Points over concatenation, how probably they matter, in how many stored cohorts it is above it, of how many."""
    gains = defaultdict(list)
    for cohort in stored_cohorts():
        if strategy in cohort.results:
            gains[cohort.source].append(cohort.gain(strategy, one_gone))
    each = np.array([np.mean(of) for of in gains.values()])
    low, high = stats.t.interval(0.95, len(each) - 1, each.mean(), stats.sem(each))
    every = [gain for of in gains.values() for gain in of]
    interval = Interval(float(each.mean()), float(low), float(high))
    return interval, bayesian_signed_rank(each, ROPE), sum(gain > 0 for gain in every), len(every)


def compared() -> dict[str, list[dict[str, str]]]:
    """Name of a protocol to the rows of the table that ``polyscan compare`` wrote, the highest AUROC first."""
    return {path.stem.removeprefix("compare_"): _rows(path) for path in sorted(RESULTS.glob("compare_*.csv"))}


def parts_of_optimum() -> dict[str, dict[str, float]]:
    """Cohort to strategy to accuracy over the best possible on the same subjects, the nearest strategy first.

    Those of ``strategies.csv``, and as ``compare NAME`` those of ``polyscan compare``.
    """
    optimum = {name: cohort["optimum"] for name, cohort in read_json(RESULTS / "cohorts.json").items()}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(RESULTS / "strategies.csv"):
        if optimum[row["cohort"]] is not None:
            found[row["cohort"]][row["strategy"]] = float(row["accuracy"]) / optimum[row["cohort"]]
    for name, rows in compared().items():
        for row in rows:
            if row["of_optimum"]:
                found[f"compare {name}"][row["strategy"]] = float(row["of_optimum"])
    return {task: dict(sorted(of.items(), key=lambda one: -one[1])) for task, of in found.items()}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> None:
    """Print the tables."""
    print("| strategy | points over concatenation | worse, as good, better | above it | one more gone | worse, ... |")
    print("|---|---|---|---|---|---|")
    for strategy in (*CLAIMED, "concatenation, not dropped out", "concatenation, distillation"):
        (whole, better, above, of), (gone, still, _, _) = over_sources(strategy), over_sources(strategy, one_gone=True)
        points = [f"{x.value:+.2f} ({x.low:+.2f} to {x.high:+.2f})" for x in (whole, gone)]
        probable = [", ".join(f"{p:.2f}" for p in of_three) for of_three in (better, still)]
        print(f"| {strategy} | {points[0]} | {probable[0]} | {above} of {of} | {points[1]} | {probable[1]} |")
    print("\n| task | nearest to the optimum | part of it | concatenation |\n|---|---|---|---|")
    for task, of in sorted(parts_of_optimum().items(), key=lambda one: max(one[1].values())):
        best = next(iter(of))
        print(f"| {task} | {best} | {of[best]:.3f} | {of[CONCATENATION]:.3f} |")
    for name, rows in compared().items():
        print(f"\n{name}\n")
        print("| strategy | accuracy | of the best | AUROC | over concatenation | verdict | one gone | one spoiled |")
        print("|---|---|---|---|---|---|---|---|")
        for row in rows:
            part = f"{float(row['of_optimum']):.3f}" if row["of_optimum"] else ""
            area, over = (
                [float(row[f"{column}{end}"]) for end in ("", "_low", "_high")] for column in ("auroc", "difference")
            )
            print(
                f"| {row['strategy']} | {float(row['accuracy']):.3f} | {part} | "
                f"{area[0]:.3f} ({area[1]:.3f} to {area[2]:.3f}) | "
                f"{100 * over[0]:+.1f} ({100 * over[1]:+.1f} to {100 * over[2]:+.1f}) | {row['verdict']} | "
                f"{float(row['without']):.3f} | {float(row['spoiled']):.3f} |"
            )


if __name__ == "__main__":
    main()
