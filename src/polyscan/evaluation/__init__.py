"""How good an answer is."""

from polyscan.evaluation.regions import region_scores
from polyscan.evaluation.tasks import TaskAUROC

__all__ = ["TaskAUROC", "region_scores"]
