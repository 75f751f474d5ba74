"""From scans as they come to scans that can be read together: register, resample, normalise."""

from polyscan.preprocess.intensity_steps import (
    BiasFieldd,
    BrainMaskd,
    ForegroundMaskd,
    HistogramStandardized,
    MatchScaled,
    ZCAWhiteningd,
    ZScored,
)
from polyscan.preprocess.steps import AntiAliasd, LoadScansd, PackScalesd, RegisterRigidd, Resampled

__all__ = [
    "AntiAliasd",
    "BiasFieldd",
    "BrainMaskd",
    "ForegroundMaskd",
    "HistogramStandardized",
    "LoadScansd",
    "MatchScaled",
    "PackScalesd",
    "RegisterRigidd",
    "Resampled",
    "ZCAWhiteningd",
    "ZScored",
]
