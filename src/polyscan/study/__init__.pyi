from polyscan.scan_key import ScanKey as ScanKey
from polyscan.study.record import (
    AttributionRecord as AttributionRecord,
    Decision as Decision,
    Grid as Grid,
    Label as Label,
    ModelRecord as ModelRecord,
    PredictionRecord as PredictionRecord,
    Preparation as Preparation,
    RegionScore as RegionScore,
    RegistrationRecord as RegistrationRecord,
    Study as Study,
    TaskPrediction as TaskPrediction,
    VolumeInterval as VolumeInterval,
    scans_of as scans_of,
)
from polyscan.study.scan import Scan as Scan, Source as Source, paths_in as paths_in
