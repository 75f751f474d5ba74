"""The cohort as a table, one row a study, made from the records alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polyscan.files.atomic import atomic_write
from polyscan.study import Study
from polyscan.study.manifest import Failure


def write_table(out: Path, answered: Iterable[Study], failed: Iterable[Failure]) -> None:
    """Write ``cohort.csv`` and, where pyarrow is installed, ``cohort.parquet``: status, times, problems, answers.

    Args:
        out: the folder.
        answered: studies with their answers.
        failed: those that failed.
    """
    import pandas as pd

    rows = [_row(study) for study in answered]
    rows += [{"study": each.study, "status": "failed", "reason": each.reason} for each in failed]
    first = ["study", "subject", "session", "status", "reason", "modalities", "problems"]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*first, *(name for row in rows for name in row)])))
    table = table.sort_values("study")
    with atomic_write(out / "cohort.csv") as file:
        table.to_csv(file, index=False)
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (out / "cohort.parquet").unlink(missing_ok=True)  # never one of another run beside the table of this one
        return
    with atomic_write(out / "cohort.parquet") as file:
        table.to_parquet(file, index=False)


def _row(study: Study) -> dict[str, Any]:
    """A study's status, and its numbers in columns such as ``whole tumour ml`` and ``grade``."""
    prediction, preparation = study.prediction, study.preparation
    assert prediction is not None
    row: dict[str, Any] = {
        "study": study.key,
        "subject": study.subject,
        "session": study.session,
        "status": "done",
        "modalities": " ".join(prediction.present),
        "problems": "; ".join(f"{name}: {problem}" for name, problem in study.problems.items()),
    }
    for name, volume in prediction.volumes_ml.items():
        row[f"{name} ml"] = round(volume, 3)
    for name, score in prediction.scores.items():
        row |= {f"{name} dice": score.dice, f"{name} true ml": score.true_ml}
    row["atypical"] = " ".join(prediction.atypical) or None
    for task, task_prediction in prediction.answers.items():
        row[task] = task_prediction.predicted_class
        row |= {f"{task} p({name})": p for name, p in task_prediction.probabilities.items()}
        told = {name: getattr(task_prediction, name) for name in ("uncertainty", "aleatoric", "epistemic", "conflict")}
        told |= {"truth": task_prediction.truth, **task_prediction.measures}
        told["not ruled out"] = " ".join(task_prediction.prediction_set) or None
        row |= {f"{task} {name}": value for name, value in told.items() if not isinstance(value, list | None)}
    row["prepare seconds"] = preparation.seconds.get("prepare") if preparation else None
    row["infer seconds"] = prediction.seconds
    return row
