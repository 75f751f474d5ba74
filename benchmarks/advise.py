"""What advice loses to the best strategy, on cohorts whose own results it did not see.

    python benchmarks/advise.py
    python benchmarks/advise.py --other-laws OUT

Reads ``strategies.csv`` and ``cohorts.json`` of ``benchmarks/results``, made by ``benchmarks/strategies.py``. For each
cohort, advice is computed without the results of any cohort of its source. Its regret is the AUROC of the best
strategy less that of the advised one, in points (hundredths), over the same folds; the best is the highest of noisy
means, so that regret is above 0 even for a perfect choice. Beside it: always concatenation, a strategy drawn at random
(the mean over all), the rules without results, and results without rules. Of patients, the paired interval of best
minus advised (Nadeau and Bengio) is printed.

The rules were written by people who knew these cohorts. ``--other-laws`` compares all strategies on tasks whose law is
another (``OTHER_LAWS``, fixed before any result on them was seen), complete and with 30 % missing, and tells the regret
there; of the same task no stored result is used. It goes on in ``OUT`` where it was cut short.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from strategies import made, summarised

from polyscan.advise.candidates import CANDIDATES
from polyscan.advise.evidence import StoredCohort, alike, estimate, stored_cohort, stored_cohorts
from polyscan.advise.rules import points_by_strategy, rules_for
from polyscan.compare import compare
from polyscan.compare.protocol import CONCATENATION
from polyscan.evaluation import corrected_difference

OTHER_LAWS: dict[str, dict[str, float]] = {
    "coincidence": {"places": 6},
    "counts": {"missed": 0.3},
    "interaction": {"size": 4},
    "misalignment": {"shift": 0},
    "varying_reliability": {"distance": 2.5},
}
Choice = Callable[[StoredCohort, list[StoredCohort]], str]


def compared(cohort: StoredCohort) -> list[str]:
    """The strategies that were compared on a cohort: all on vectors, some on images."""
    return [name for name in CANDIDATES if name in cohort.results]


def best_estimate(cohort: StoredCohort, rules: dict[str, float], others: list[StoredCohort]) -> str:
    """The best of what was compared on the cohort."""
    return estimate(cohort.described, {name: rules[name] for name in compared(cohort)}, others)[0].strategy


def advised(cohort: StoredCohort, others: list[StoredCohort]) -> str:
    """By rules and results."""
    return best_estimate(cohort, points_by_strategy(rules_for(cohort.described)), others)


def by_rules(cohort: StoredCohort, others: list[StoredCohort]) -> str:
    """Without results."""
    return best_estimate(cohort, points_by_strategy(rules_for(cohort.described)), [])


def by_results(cohort: StoredCohort, others: list[StoredCohort]) -> str:
    """Without rules."""
    return best_estimate(cohort, dict.fromkeys(CANDIDATES, 0.0), others)


def on_average(cohort: StoredCohort, others: list[StoredCohort]) -> str:
    """What was best on average over the others, however unlike."""
    whole = [other for other in others if len(compared(other)) == len(CANDIDATES)]
    return max(compared(cohort), key=lambda name: float(np.mean([other.gain(name) for other in whole])))


CHOICES: dict[str, Choice] = {
    "advice": advised,
    "rules alone": by_rules,
    "results alone": by_results,
    "best on average elsewhere": on_average,
    "always concatenation": lambda cohort, others: CONCATENATION,
}


def regret(cohort: StoredCohort, strategy: str) -> float:
    """Points of AUROC below the best."""
    best = max(cohort.results[name].auroc for name in compared(cohort))
    return 100 * (best - cohort.results[strategy].auroc)


def with_other_laws(out: Path) -> list[StoredCohort]:
    """Compare all strategies on tasks of another law."""
    found = []
    for name in [task + more for more in ("", "+missing") for task in OTHER_LAWS]:
        compare(made(name, options=OTHER_LAWS[name.removesuffix("+missing")]), out / name, jobs=1)
        found.append(stored_cohort(name, *summarised(out / name)))
    return found


def told(cohorts: list[StoredCohort], every: list[StoredCohort]) -> None:
    """Print regret by cohort, and its mean over made cohorts of vectors."""
    table: dict[str, list[float]] = {name: [] for name in [*CHOICES, "random choice"]}
    vectors = []
    print("| cohort | advised | most alike | best | regret | concatenation | random |\n|---|---|---|---|---|---|---|")
    for cohort in cohorts:
        others = [other for other in every if other.source != cohort.source]
        chosen = {name: choice(cohort, others) for name, choice in CHOICES.items()}
        found = {name: regret(cohort, strategy) for name, strategy in chosen.items()}
        found["random choice"] = float(np.mean([regret(cohort, name) for name in compared(cohort)]))
        best = max(compared(cohort), key=lambda name: cohort.results[name].auroc)
        nearest = max(others, key=lambda other: alike(cohort.described, other.described))
        if cohort.made and not cohort.described.images:
            vectors.append(cohort)
            for name, value in found.items():
                table[name].append(value)
        weight = alike(cohort.described, nearest.described)
        print(
            f"| {cohort.name} | {chosen['advice']} | {nearest.name} ({weight:.2f}) | {best} | "
            f"{found['advice']:.1f} | {found['always concatenation']:.1f} | {found['random choice']:.1f} |"
        )
    print(
        f"\nMean regret on {len(vectors)} made cohorts of vectors, in points of AUROC (complete, with missing scans):\n"
    )
    complete = np.array(["+" not in cohort.name for cohort in vectors])
    for name, values in table.items():
        each = np.array(values)
        print(f"- {name}: {each.mean():.2f} ({each[complete].mean():.2f}, {each[~complete].mean():.2f})")


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--other-laws", type=Path, metavar="OUT", help="compare on tasks of another law, in this folder"
    )
    options = parser.parse_args()
    every = list(stored_cohorts())
    if options.other_laws:
        told(with_other_laws(options.other_laws), every)
        return
    told(every, every)
    for cohort in every:
        if not cohort.made:
            others = [other for other in every if other.source != cohort.source]
            name = advised(cohort, others)
            best = max(compared(cohort), key=lambda name: cohort.results[name].auroc)
            ours, theirs = cohort.results[name].folds, cohort.results[best].folds
            difference, _ = corrected_difference(theirs, ours, 1 / cohort.folds)
            print(f"\n{cohort.name}: best ({best}) minus advised ({name}) {difference}")


if __name__ == "__main__":
    main()
