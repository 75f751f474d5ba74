"""From scans as they come to scans that can be read together: register, resample, normalise.

Each name is imported when it is first used, so that to hand out studies needs none of what prepares them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyscan import lazy

if TYPE_CHECKING:
    from polyscan.preprocess.intensity_steps import (
        BiasFieldd,
        BrainMaskd,
        ForegroundMaskd,
        HistogramStandardized,
        MatchScaled,
        ZCAWhiteningd,
        ZScored,
    )
    from polyscan.preprocess.scales import AntiAliasd, PackScalesd
    from polyscan.preprocess.steps import LoadScansd, RegisterRigidd, Resampled

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

__getattr__ = lazy.getattr_of(
    __name__,
    {
        "scales": ("AntiAliasd", "PackScalesd"),
        "steps": ("LoadScansd", "RegisterRigidd", "Resampled"),
        "intensity_steps": (
            "BiasFieldd",
            "BrainMaskd",
            "ForegroundMaskd",
            "HistogramStandardized",
            "MatchScaled",
            "ZCAWhiteningd",
            "ZScored",
        ),
    },
)
