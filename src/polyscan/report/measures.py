"""What is told of each study in a row of a table, and which studies stand out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from polyscan.study import Study
from polyscan.study.made import prediction_of
from polyscan.study.manifest import Failure

OUTLIER = 3.5
"""Modified z-score from which a value is an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_FEWEST = 8  # studies that have a value, for one of them to be an outlier


def rows_of(answered: Iterable[Study], failed: Iterable[Failure]) -> list[dict[str, Any]]:
    """A row a study, those that failed last, with the columns that a study has something for."""
    rows = [_row(study) for study in answered]
    return rows + [{"study": each.study, "status": "failed", "reason": each.reason} for each in failed]


def _row(study: Study) -> dict[str, Any]:
    """A study's status, and its numbers in columns such as ``whole tumour ml`` and ``grade``."""
    prediction, preparation = prediction_of(study), study.preparation
    row: dict[str, Any] = {
        "study": study.key,
        "subject": study.subject,
        "session": study.session,
        "status": "done",
        "modalities": " ".join(prediction.present),
        "problems": "; ".join(f"{name}: {problem}" for name, problem in study.problems.items()),
    }
    repairs = preparation.repairs if preparation else {}
    row["repaired"] = "; ".join(f"{name}: {repair}" for name, repair in repairs.items()) or None
    for name, volume in prediction.volumes_ml.items():
        row[f"{name} ml"] = round(volume, 3)
        row[f"{name} confidence"] = prediction.confidence.get(name)
        row |= {f"{name} from {scan}": part for scan, part in prediction.contributions.get(name, {}).items()}
        if doubt := prediction.uncertainty.get(name):
            row |= {f"{name} aleatoric": doubt.aleatoric, f"{name} epistemic": doubt.epistemic}
        if interval := prediction.volume_intervals.get(name):
            row |= {f"{name} at least ml": interval.low_ml, f"{name} at most ml": interval.high_ml}
    for name, score in prediction.scores.items():
        row |= {f"{name} dice": score.dice, f"{name} surface dice": score.surface_dice}
        row |= {f"{name} hd95 mm": score.hd95_mm, f"{name} true ml": score.true_ml}
    for name in ("undecided", "atypical", "ignored", "unanswered", "unread", "stray_labels"):
        each = map(str, getattr(prediction, name))
        row[name.replace("_", " ")] = ("; " if name == "undecided" else " ").join(each) or None
    row["learnt from"] = "yes" if prediction.learnt else None
    for task, task_prediction in prediction.answers.items():
        row[task] = task_prediction.predicted_class
        row |= {f"{task} p({name})": p for name, p in task_prediction.probabilities.items()}
        told = {name: getattr(task_prediction, name) for name in ("uncertainty", "aleatoric", "epistemic", "conflict")}
        truth = task_prediction.truth
        told |= {f"true {name}": each for name, each in truth.items()} if isinstance(truth, dict) else {"truth": truth}
        told |= {"log hazard": task_prediction.risk, **task_prediction.measures}
        told |= {f"chance at {time}": chance for time, (chance, *_) in task_prediction.survival.items()}
        held = task_prediction.prediction_set
        told["not ruled out"] = None if held is None else " ".join(held) or "no class"
        row |= {f"{task} {name}": value for name, value in told.items() if not isinstance(value, list | None)}
    row["prepare seconds"] = preparation.seconds.get("total") if preparation else None
    row["infer seconds"] = prediction.seconds
    return row


def is_number(value: Any) -> bool:
    """Whether it can be compared with others on a line."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def outlying(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """For each row, the measures by which it stands out from all, and how far: |modified z| above 3.5.

    The modified z-score is 0.6745 (x - median) / MAD; where more than half of the values are equal, so that the median
    absolute deviation is 0, it is 0.7979 (x - median) / the mean absolute deviation, which is the same of a normal
    distribution.
    """
    found: list[dict[str, float]] = [{} for _ in rows]
    for name in dict.fromkeys(name for row in rows for name, value in row.items() if is_number(value)):
        where = [k for k, row in enumerate(rows) if is_number(row.get(name)) and np.isfinite(row[name])]
        values = np.array([rows[k][name] for k in where], dtype=float)
        if len(values) < _FEWEST:
            continue
        deviation = values - np.median(values)
        by_median, by_mean = np.median(np.abs(deviation)) / 0.6745, np.abs(deviation).mean() / 0.7979
        scale = by_median or by_mean
        if scale == 0:
            continue
        for k, z in zip(where, np.abs(deviation) / scale, strict=True):
            if z > OUTLIER:
                found[k][name] = round(float(z), 1)
    return found
