"""How good an answer is."""

from polyscan.evaluation.regions import dice, region_scores, region_volumes
from polyscan.evaluation.statistics import (
    Interval,
    auroc,
    bootstrap,
    bootstrap_scores,
    concordance_index,
    corrected_difference,
    over_folds,
    percentile_interval,
)
from polyscan.evaluation.survival import ConcordanceIndex
from polyscan.evaluation.tasks import TaskAUROC

__all__ = [
    "ConcordanceIndex",
    "Interval",
    "TaskAUROC",
    "auroc",
    "bootstrap",
    "bootstrap_scores",
    "concordance_index",
    "corrected_difference",
    "dice",
    "over_folds",
    "percentile_interval",
    "region_scores",
    "region_volumes",
]
