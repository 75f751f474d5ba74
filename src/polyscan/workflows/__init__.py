"""What the bundles share: data, regions, and the loop over studies."""

from polyscan.workflows.data import (
    LoadStudyd,
    ScaleModalitiesd,
    inference_items,
    testing_items,
    training_items,
    validation_items,
)
from polyscan.workflows.infer import SavePredictiond, infer_studies
from polyscan.workflows.regions import RegionsFromLabeld

__all__ = [
    "LoadStudyd",
    "RegionsFromLabeld",
    "SavePredictiond",
    "ScaleModalitiesd",
    "infer_studies",
    "inference_items",
    "testing_items",
    "training_items",
    "validation_items",
]
