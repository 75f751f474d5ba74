"""A study, the manifest that lists studies, and the folders that polyscan owns."""

from polyscan.scan_key import ScanKey
from polyscan.study.record import (
    AttributionRecord,
    Decision,
    Grid,
    Label,
    ModelRecord,
    PredictionRecord,
    Preparation,
    RegionScore,
    RegistrationRecord,
    Study,
    TaskPrediction,
    scans_of,
)
from polyscan.study.scan import Scan, Source, paths_in

__all__ = [
    "AttributionRecord",
    "Decision",
    "Grid",
    "Label",
    "ModelRecord",
    "PredictionRecord",
    "Preparation",
    "RegionScore",
    "RegistrationRecord",
    "Scan",
    "ScanKey",
    "Source",
    "Study",
    "TaskPrediction",
    "paths_in",
    "scans_of",
]
