"""From scans as they come to scans that can be read together: register, resample, normalise.

Each name is imported when it is first used, so that to hand out studies needs none of what prepares them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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
    from polyscan.preprocess.steps import AntiAliasd, LoadScansd, PackScalesd, RegisterRigidd, Resampled

_HOMES = {
    **dict.fromkeys(("AntiAliasd", "LoadScansd", "PackScalesd", "RegisterRigidd", "Resampled"), "steps"),
    **dict.fromkeys(("BiasFieldd", "BrainMaskd", "ForegroundMaskd", "HistogramStandardized"), "intensity_steps"),
    **dict.fromkeys(("MatchScaled", "ZCAWhiteningd", "ZScored"), "intensity_steps"),
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyscan.preprocess' has no attribute {name!r}")
    return getattr(importlib.import_module(f"polyscan.preprocess.{_HOMES[name]}"), name)
