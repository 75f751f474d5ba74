"""The MONAI dictionary transforms that bundles name: a prepared study to tensors, and a network's answer to files."""

from polyscan.transforms.attribution import SaveAttributionsd
from polyscan.transforms.classify import DaysOfStudyd, TableFromClinicald, TargetsFromLabeld, TaskProbabilitiesd
from polyscan.transforms.component_indices import ComponentIndicesd
from polyscan.transforms.each_modality import RandEachModalityd
from polyscan.transforms.explain import ExplainPredictiond
from polyscan.transforms.load import LoadMaskd, LoadPictured, LoadScalesd, LoadStudyd, block_overlap
from polyscan.transforms.modality_dropout import RandModalityDropoutd
from polyscan.transforms.regions import RegionsFromLabeld
from polyscan.transforms.save import SaveAnswerd, SavePredictiond, SaveProbabilitiesd
from polyscan.transforms.scale import ScaleModalitiesd
from polyscan.transforms.scanner_variation import RandScannerd
from polyscan.transforms.survival import ExplainRiskd, SaveRiskd, SurvivalFromLabeld
from polyscan.transforms.tables import LoadTablesd
from polyscan.transforms.without_metadata import ComposeWithoutMetadata

__all__ = [
    "ComponentIndicesd",
    "ComposeWithoutMetadata",
    "DaysOfStudyd",
    "ExplainPredictiond",
    "ExplainRiskd",
    "LoadMaskd",
    "LoadPictured",
    "LoadScalesd",
    "LoadStudyd",
    "LoadTablesd",
    "RandEachModalityd",
    "RandModalityDropoutd",
    "RandScannerd",
    "RegionsFromLabeld",
    "SaveAnswerd",
    "SaveAttributionsd",
    "SavePredictiond",
    "SaveProbabilitiesd",
    "SaveRiskd",
    "ScaleModalitiesd",
    "SurvivalFromLabeld",
    "TableFromClinicald",
    "TargetsFromLabeld",
    "TaskProbabilitiesd",
    "block_overlap",
]
