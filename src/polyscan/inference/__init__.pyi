from polyscan.inference.averaged import EnsembleAverage as EnsembleAverage, MirrorAverage as MirrorAverage
from polyscan.inference.dropout_samples import monte_carlo as monte_carlo, sampled_maps as sampled_maps
from polyscan.inference.feature_distance import FeatureDistance as FeatureDistance
from polyscan.inference.kept_features import KeptFeatures as KeptFeatures
from polyscan.inference.shapley import (
    sampled_shapley_values as sampled_shapley_values,
    shapley_interactions as shapley_interactions,
    shapley_values as shapley_values,
)
from polyscan.inference.subsets import every_subset as every_subset
from polyscan.inference.task_calibration import TaskCalibration as TaskCalibration, load_calibration as load_calibration
from polyscan.inference.uncertainty import (
    conflict as conflict,
    entropy as entropy,
    soft_dice_confidence as soft_dice_confidence,
    split_entropy as split_entropy,
)
from polyscan.inference.window_inferer import WindowInferer as WindowInferer
