"""What advice loses to the best strategy, on cohorts whose own results it did not see.

    python benchmarks/advise.py
    python benchmarks/advise.py --other-laws OUT

Reads ``strategies.csv`` and ``cohorts.json`` of ``benchmarks/results``, made by ``benchmarks/strategies.py``. For each
cohort, advice is computed without the results of any cohort of its source. Its regret is the AUROC of the best
strategy less that of the advised one, in points (hundredths), over the same folds; the best is the highest of noisy
means, so that regret is above 0 even for a perfect choice. Beside it: always concatenation, a strategy drawn at random
(the mean over all), the rules without results, and results without rules. Of patients, the paired interval of best
minus advised (Nadeau and Bengio) is printed, and that of best minus concatenation.

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
from polyscan.evaluation.statistics import Interval

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
    return 100 * (cohort.results[best(cohort)].auroc - cohort.results[strategy].auroc)


def with_other_laws(out: Path) -> list[StoredCohort]:
    """Compare all strategies on tasks of another law."""
    found = []
    for name in [task + more for more in ("", "+missing") for task in OTHER_LAWS]:
        compare(made(name, options=OTHER_LAWS[name.removesuffix("+missing")]), out / name, jobs=1)
        found.append(stored_cohort(name, *summarised(out / name)))
    return found


def told(cohorts: list[StoredCohort], every: list[StoredCohort]) -> None:
    """Print regret by cohort, its mean over made cohorts of vectors and over patients, and intervals of the latter."""
    rows = []
    print("| cohort | advised | most alike | best | regret | concatenation | random |\n|---|---|---|---|---|---|---|")
    for cohort in cohorts:
        others = [other for other in every if other.source != cohort.source]
        chosen = {name: choice(cohort, others) for name, choice in CHOICES.items()}
        found = {name: regret(cohort, strategy) for name, strategy in chosen.items()}
        found["random choice"] = float(np.mean([regret(cohort, name) for name in compared(cohort)]))
        nearest = max(others, key=lambda other: alike(cohort.described, other.described))
        weight = alike(cohort.described, nearest.described)
        rows.append((cohort, chosen, found))
        print(
            f"| {cohort.name} | {chosen['advice']} | {nearest.name} ({weight:.2f}) | {best(cohort)} | "
            f"{found['advice']:.1f} | {found['always concatenation']:.1f} | {found['random choice']:.1f} |"
        )
    made_vectors = [row for row in rows if row[0].made and not row[0].described.images]
    patients = [row for row in rows if not row[0].made]
    print(
        f"\nMean regret on {len(made_vectors)} made cohorts of vectors, in points of AUROC (complete, with missing "
        f"scans), and on {len(patients)} of patients:\n"
    )
    complete = np.array(["+" not in cohort.name for cohort, _, _ in made_vectors])
    for name in rows[0][2]:
        each = np.array([found[name] for _, _, found in made_vectors])
        real = f"; {np.mean([found[name] for _, _, found in patients]):.2f}" if patients else ""
        print(f"- {name}: {each.mean():.2f} ({each[complete].mean():.2f}, {each[~complete].mean():.2f}){real}")
    if patients:
        print("\nBest less another, paired over folds (Nadeau and Bengio), points of AUROC:\n")
        print("| cohort | best | advised | less advised | less concatenation |\n|---|---|---|---|---|")
    for cohort, chosen, _ in patients:
        less = " | ".join(str(best_less(cohort, chosen[name])) for name in ("advice", "always concatenation"))
        print(f"| {cohort.name} | {best(cohort)} | {chosen['advice']} | {less} |")
    for name in CHOICES if patients else ():
        holds = sum(best_less(cohort, chosen[name]).low <= 0 for cohort, chosen, _ in patients)
        print(f"\n{name}: the interval includes 0 on {holds} of {len(patients)} cohorts of patients")


def best(cohort: StoredCohort) -> str:
    """The strategy of the highest mean AUROC."""
    return max(compared(cohort), key=lambda name: cohort.results[name].auroc)


def best_less(cohort: StoredCohort, strategy: str) -> Interval:
    """The best less another, over folds."""
    better, other = (cohort.results[name].folds for name in (best(cohort), strategy))
    return corrected_difference(100 * np.array(better), 100 * np.array(other), 1 / cohort.folds)[0]


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--other-laws", type=Path, metavar="OUT", help="compare on tasks of another law, in this folder"
    )
    options = parser.parse_args()
    every = list(stored_cohorts())
    told(with_other_laws(options.other_laws) if options.other_laws else every, every)


if __name__ == "__main__":
    main()
