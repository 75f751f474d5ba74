"""What the cohort says as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import mean, median, quantiles

from polyscan.evaluation.statistics import concordance_index
from polyscan.study import PredictionRecord


@dataclass(frozen=True)
class RegionSummary:
    """Scores of one region over the studies in which the truth is known.

    Attributes:
        name: the region.
        count: studies that have it.
        mean, median, low, high: Dice over them, ``low`` to ``high`` being the middle half; NaN where no study has it.
        surface_dice: mean over them; NaN where none tells.
        hd95_mm: median over those of them in which something was found; NaN where there is none.
        missed: studies that have it and in which nothing was found.
        empty: studies that do not have it, and in how many of them something was found in error.
    """

    name: str
    count: int
    mean: float
    median: float
    low: float
    high: float
    surface_dice: float
    hd95_mm: float
    missed: int
    empty: int
    false_positives: int


def summarise(predictions: Sequence[PredictionRecord]) -> list[RegionSummary]:
    """Scores by region; studies in which a region does not exist are counted apart."""
    names = dict.fromkeys(name for found in predictions for name in found.scores)
    summaries = []
    for name in names:
        scores = [found.scores[name] for found in predictions if name in found.scores]
        dice = [score.dice for score in scores if score.dice is not None]
        agreement = [score.surface_dice for score in scores if score.surface_dice is not None]
        distances = [score.hd95_mm for score in scores if score.hd95_mm is not None]
        empty = [score for score in scores if score.dice is None]
        low, high = (quantiles(dice, n=4)[::2]) if len(dice) > 1 else (dice * 2 or [nan, nan])
        summaries.append(
            RegionSummary(
                name,
                len(dice),
                mean(dice) if dice else nan,
                median(dice) if dice else nan,
                low,
                high,
                mean(agreement) if agreement else nan,
                median(distances) if distances else nan,
                sum(score.dice is not None and score.predicted_ml == 0 for score in scores),
                len(empty),
                sum(score.predicted_ml > 0 for score in empty),
            )
        )
    return summaries


def summarise_answers(predictions: Sequence[PredictionRecord]) -> dict[str, tuple[int, int]]:
    """Task of classes to how many studies whose truth is known were answered rightly, and how many there are."""
    tasks = dict.fromkeys(task for found in predictions for task, a in found.answers.items() if a.risk is None)
    known = {task: [a for found in predictions if (a := found.answers.get(task)) and a.is_known] for task in tasks}
    return {task: (sum(a.predicted_class == a.truth for a in each), len(each)) for task, each in known.items()}


def summarise_risks(predictions: Sequence[PredictionRecord]) -> dict[str, tuple[float, int, int]]:
    """Task of survival to Harrell's c, over how many studies whose truth is known, and how many events they have."""
    known: dict[str, list[tuple[float, float, float]]] = {}
    for found in predictions:
        for task, each in found.answers.items():
            if each.risk is not None and isinstance(each.truth, dict):
                known.setdefault(task, []).append((each.risk, each.truth["time"], each.truth["event"]))
    return {
        task: (concordance_index(*zip(*rows, strict=True)), len(rows), round(sum(event for *_, event in rows)))
        for task, rows in known.items()
    }


def modalities(predictions: Sequence[PredictionRecord]) -> dict[str, int]:
    """In how many studies each modality was read, the most frequent first."""
    return dict(Counter(name for found in predictions for name in found.present).most_common())
