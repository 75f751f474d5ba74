from polyscan.bundle.inference_options import InferenceOptions as InferenceOptions
from polyscan.bundle.items import (
    inference_item as inference_item,
    inference_items as inference_items,
    missing_rates as missing_rates,
    testing_items as testing_items,
    training_items as training_items,
    validation_items as validation_items,
)
from polyscan.bundle.mapped_dataset import cached_dataset as cached_dataset
from polyscan.bundle.predictor import LoadOnce as LoadOnce, StudyPredictor as StudyPredictor
from polyscan.bundle.staging import Staging as Staging
