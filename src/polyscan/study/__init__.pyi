from polyscan.scan_key import ScanKey as ScanKey
from polyscan.study.prediction import (
    AttributionRecord as AttributionRecord,
    ModelRecord as ModelRecord,
    PredictionRecord as PredictionRecord,
    RegionScore as RegionScore,
    RegionUncertainty as RegionUncertainty,
    TaskPrediction as TaskPrediction,
    VolumeInterval as VolumeInterval,
)
from polyscan.study.record import (
    Decision as Decision,
    Grid as Grid,
    Label as Label,
    Preparation as Preparation,
    RegistrationRecord as RegistrationRecord,
    Study as Study,
    scans_of as scans_of,
)
from polyscan.study.scan import Scan as Scan, Source as Source, paths_in as paths_in
