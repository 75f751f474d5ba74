"""Questions to a trained network whose encoders run once."""

from polyscan.inference.averaged import EnsembleAverage, MirrorAverage
from polyscan.inference.cached_features import CachedFeatures
from polyscan.inference.monte_carlo import monte_carlo
from polyscan.inference.shapley import shapley_values
from polyscan.inference.subsets import every_subset
from polyscan.inference.task_calibration import TaskCalibration, load_calibration

__all__ = [
    "CachedFeatures",
    "EnsembleAverage",
    "MirrorAverage",
    "TaskCalibration",
    "every_subset",
    "load_calibration",
    "monte_carlo",
    "shapley_values",
]
