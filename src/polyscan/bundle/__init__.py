"""What bundles share: the items they read, the loop over studies, and the commands that run them."""

from polyscan.bundle.items import inference_items, testing_items, training_items, validation_items
from polyscan.bundle.loop import infer_studies
from polyscan.bundle.staging import Staging

__all__ = [
    "Staging",
    "infer_studies",
    "inference_items",
    "testing_items",
    "training_items",
    "validation_items",
]
