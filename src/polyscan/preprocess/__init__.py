"""From scans as they come to scans that can be read together: register, resample, normalise."""

from polyscan.preprocess.steps import (
    AntiAliasd,
    ForegroundMaskd,
    ReadStudyd,
    RegisterRigidd,
    ResampleToReferenced,
    ZScored,
)

__all__ = ["AntiAliasd", "ForegroundMaskd", "ReadStudyd", "RegisterRigidd", "ResampleToReferenced", "ZScored"]
