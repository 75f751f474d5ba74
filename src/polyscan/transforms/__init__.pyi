from polyscan.transforms.attribution import SaveAttributionsd as SaveAttributionsd
from polyscan.transforms.classify import (
    DaysOfStudyd as DaysOfStudyd,
    TableFromClinicald as TableFromClinicald,
    TargetsFromLabeld as TargetsFromLabeld,
    TaskProbabilitiesd as TaskProbabilitiesd,
)
from polyscan.transforms.component_indices import ComponentIndicesd as ComponentIndicesd
from polyscan.transforms.confidence import SoftDiceConfidenced as SoftDiceConfidenced
from polyscan.transforms.each_modality import RandEachModalityd as RandEachModalityd
from polyscan.transforms.explain import ExplainPredictiond as ExplainPredictiond
from polyscan.transforms.explain_regions import ExplainRegionsd as ExplainRegionsd
from polyscan.transforms.load import (
    LoadMaskd as LoadMaskd,
    LoadPictured as LoadPictured,
    LoadScalesd as LoadScalesd,
    LoadStudyd as LoadStudyd,
    block_overlap as block_overlap,
)
from polyscan.transforms.modality_dropout import (
    RaiseModalityDropout as RaiseModalityDropout,
    RandModalityDropoutd as RandModalityDropoutd,
)
from polyscan.transforms.regions import RegionsFromLabeld as RegionsFromLabeld
from polyscan.transforms.save import (
    SaveClassesd as SaveClassesd,
    SaveProbabilitiesd as SaveProbabilitiesd,
    SaveSegmentationd as SaveSegmentationd,
)
from polyscan.transforms.scale import ScaleModalitiesd as ScaleModalitiesd
from polyscan.transforms.scanner_variation import RandScannerd as RandScannerd
from polyscan.transforms.survival import (
    ExplainRiskd as ExplainRiskd,
    SaveRiskd as SaveRiskd,
    SurvivalFromLabeld as SurvivalFromLabeld,
)
from polyscan.transforms.tables import LoadTablesd as LoadTablesd
from polyscan.transforms.uncertainty import SaveUncertaintyd as SaveUncertaintyd
from polyscan.transforms.without_metadata import ComposeWithoutMetadata as ComposeWithoutMetadata
