"""Networks and simple models on the same studies, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from polyscan.baselines.reliability import HEAD, Reliability
from polyscan.baselines.tasks import Array, Task
from polyscan.errors import unknown_name
from polyscan.evaluation import Interval, bootstrap_scores, corrected_difference, percentile_interval

NETWORK = "polyscan"
"""The method of a row that a bundle answered."""


@dataclass(frozen=True)
class Row:
    """One way to tell a task.

    Attributes:
        method: such as ``logistic regression``, or ``polyscan`` for a network.
        inputs: the tables or the scan that it reads; of a network the folder of its answers.
        score: with its interval of 95 % over patients drawn again.
        difference: to the reference, over the same draws; None for the reference itself.
        p: of Nadeau and Bengio's corrected resampled t test over folds; NaN where there is one fold.
    """

    method: str
    inputs: str
    score: Interval
    difference: Interval | None = None
    p: float = float("nan")


@dataclass(frozen=True)
class Comparison:
    """All ways to tell one task, on the same studies; ``str`` writes a table in Markdown.

    Attributes:
        task: its name.
        measure: ``AUROC``, ``accuracy``, ``c`` or ``Dice``.
        studies, patients: how many are scored.
        reference: the inputs of the row that the others are compared with.
        rows: single inputs first, networks last.
        notes: sentences on what flatters.
        reliability: of classes, inputs of each network to whether its probabilities hold what they promise.
    """

    task: str
    measure: str
    studies: int
    patients: int
    reference: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    reliability: Mapping[str, Sequence[Reliability]] = field(default_factory=dict)

    def __str__(self) -> str:
        head = ["method", "inputs", self.measure, f"minus {self.reference}", "p"]
        lines = [f"{self.task}: {self.studies} studies of {self.patients} patients", "", _line(head), "|---" * 5 + "|"]
        for row in self.rows:
            gain = f"{row.difference:+.3f}" if row.difference else ""
            p = f"{row.p:.3f}" if np.isfinite(row.p) else ""
            lines.append(_line([row.method, row.inputs, str(row.score), gain, p]))
        for inputs, rows in self.reliability.items():
            lines += ["", f"What {inputs} promises of {self.task}, and what held:", "", HEAD, *map(str, rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


def compared(
    task: Task, answers: Mapping[tuple[str, str], Array], *, n_resamples: int = 1000, reference: str | None = None
) -> Comparison:
    """Score answers, each on the studies of the task that are scored.

    Args:
        task: what was told.
        answers: method and inputs to the answers, (study, ...).
        n_resamples: cohorts drawn for an interval.
        reference: the inputs of the row to compare with; the best single table or scan where not given.

    Raises:
        PolyscanError: there is no row of these inputs.
    """
    rows = np.flatnonzero(task.scored)
    patients = [task.patients[k] for k in rows]
    scores = {row: task.score_of(found) for row, found in answers.items()}
    value = {row: score(np.arange(len(rows))) for row, score in scores.items()}
    named = [row for row in answers if row[1] == reference]
    if reference is not None and not named:
        raise unknown_name(f"row of {task.name} with the inputs", reference, dict.fromkeys(name for _, name in answers))
    single = [row for row in answers if row[0] != NETWORK and "+" not in row[1]]
    best = named[0] if named else max(single or answers, key=lambda row: np.nan_to_num(value[row], nan=-1.0))
    drawn = {row: bootstrap_scores(score, patients, n_resamples=n_resamples) for row, score in scores.items()}
    share = 1 / max(1, len(np.unique(task.folds[task.folds >= 0])))
    made = []
    for row in answers:
        gain, p = None, float("nan")
        if row != best:
            gain = percentile_interval(value[row] - value[best], drawn[row] - drawn[best])
            ours, theirs = (task.fold_scores(answers[each]) for each in (row, best))
            if len(ours) > 1:
                _, p = corrected_difference(ours, theirs, share)
        made.append(Row(*row, percentile_interval(value[row], drawn[row]), gain, p))
    return Comparison(task.name, task.measure, len(rows), len(set(patients)), best[1], made)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
