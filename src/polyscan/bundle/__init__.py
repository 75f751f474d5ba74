"""What bundles share: the items they read, the loop over studies, and the commands that run them."""

from polyscan.bundle.items import (
    inference_item,
    inference_items,
    missing_rates,
    testing_items,
    training_items,
    validation_items,
)
from polyscan.bundle.mapped_dataset import cached_dataset
from polyscan.bundle.predictor import StudyPredictor
from polyscan.bundle.staging import Staging

__all__ = [
    "Staging",
    "StudyPredictor",
    "cached_dataset",
    "inference_item",
    "inference_items",
    "missing_rates",
    "testing_items",
    "training_items",
    "validation_items",
]
