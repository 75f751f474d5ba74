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
from polyscan.preprocess.steps import AntiAliasd, ReadStudyd, RegisterRigidd, Resampled

__all__ = [
    "AntiAliasd",
    "BiasFieldd",
    "BrainMaskd",
    "ForegroundMaskd",
    "HistogramStandardized",
    "MatchScaled",
    "ReadStudyd",
    "RegisterRigidd",
    "Resampled",
    "Whitend",
    "ZScored",
]
