"""What the bundles share: data, regions, and the loop over studies."""

from polyscan.workflows.classify import (
    DaysOfStudyd,
    SaveAnswerd,
    TableFromClinicald,
    TargetsFromLabeld,
    TaskAUROC,
    TaskProbabilitiesd,
)
from polyscan.workflows.data import (
    ScaleModalitiesd,
    inference_items,
    testing_items,
    training_items,
    validation_items,
)
from polyscan.workflows.explain import ExplainPredictiond
from polyscan.workflows.infer import SavePredictiond, infer_studies
from polyscan.workflows.load import LoadMaskd, LoadPictured, LoadScalesd, LoadStudyd, block_overlap
from polyscan.workflows.regions import RegionsFromLabeld
from polyscan.workflows.staging import Staging

__all__ = [
    "DaysOfStudyd",
    "ExplainPredictiond",
    "LoadMaskd",
    "LoadPictured",
    "LoadScalesd",
    "LoadStudyd",
    "RegionsFromLabeld",
    "SaveAnswerd",
    "SavePredictiond",
    "ScaleModalitiesd",
    "Staging",
    "TableFromClinicald",
    "TargetsFromLabeld",
    "TaskAUROC",
    "TaskProbabilitiesd",
    "block_overlap",
    "infer_studies",
    "inference_items",
    "testing_items",
    "training_items",
    "validation_items",
]
