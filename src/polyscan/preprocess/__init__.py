"""From scans as they come to scans that can be read together: register, resample, normalise."""

from polyscan.preprocess.intensity_steps import (
    BiasFieldd,
    BrainMaskd,
    ForegroundMaskd,
    HistogramStandardized,
    MatchScaled,
    Whitend,
    ZScored,
)
from polyscan.preprocess.steps import AntiAliasd, PackScalesd, ReadStudyd, RegisterRigidd, Resampled

__all__ = [
    "AntiAliasd",
    "BiasFieldd",
    "BrainMaskd",
    "ForegroundMaskd",
    "HistogramStandardized",
    "MatchScaled",
    "PackScalesd",
    "ReadStudyd",
    "RegisterRigidd",
    "Resampled",
    "Whitend",
    "ZScored",
]
