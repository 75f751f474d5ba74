"""Simple models of the same studies, which a network must stand beside: regressions of tables, thresholds of scans."""

from polyscan.baselines.evaluate import evaluate
from polyscan.baselines.ridge_cox import RidgeCox
from polyscan.baselines.table import Comparison, Row

__all__ = ["Comparison", "RidgeCox", "Row", "evaluate"]
