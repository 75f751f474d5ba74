"""Questions to a trained network whose encoders run once."""

from polyscan.inference.averaged import EnsembleAverage, MirrorAverage
from polyscan.inference.feature_distance import FeatureDistance
from polyscan.inference.kept_features import KeptFeatures
from polyscan.inference.monte_carlo import monte_carlo
from polyscan.inference.shapley import shapley_interactions, shapley_values
from polyscan.inference.subsets import every_subset
from polyscan.inference.task_calibration import TaskCalibration, load_calibration
from polyscan.inference.uncertainty import conflict, entropy, split_entropy
from polyscan.inference.window_inferer import WindowInferer

__all__ = [
    "EnsembleAverage",
    "FeatureDistance",
    "KeptFeatures",
    "MirrorAverage",
    "TaskCalibration",
    "WindowInferer",
    "conflict",
    "entropy",
    "every_subset",
    "load_calibration",
    "monte_carlo",
    "shapley_interactions",
    "shapley_values",
    "split_entropy",
]
