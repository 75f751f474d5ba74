"""Apparent diffusion coefficients in one unit, whatever power of ten they were stored in."""

from __future__ import annotations

import numpy as np

_TISSUE = (150.0, 5000.0)  # 1e-6 mm2/s, of the median: fat or bone marrow to free water at body temperature, 3000
_UNITS = {"1e-6 mm2/s": 1.0, "1e-3 mm2/s": 1e3, "mm2/s": 1e6}


def to_square_micrometres(values: np.ndarray) -> tuple[list[str], list[str]]:
    """Bring an ADC map, in place, to 1e-6 mm2/s (square micrometres a second) by the median of what lies above 0.

    Tissue tells the unit: scanners write 800 (1e-6 mm2/s), 0.8 (1e-3 mm2/s) or 0.0008 (mm2/s) for one and the same
    grey matter, and few of them say which.

    Args:
        values: the map, any shape, float.

    Returns:
        What was changed, and what is doubtful: the unit where no power of ten fits.

    Example:
        >>> adc = np.array([0.0, 0.7, 0.8, 0.9])
        >>> to_square_micrometres(adc)
        (['ADC in 1e-3 mm2/s was brought to 1e-6 mm2/s'], [])
        >>> adc.round().tolist()
        [0.0, 700.0, 800.0, 900.0]
    """
    above = values[values > 0]
    median = float(np.median(above)) if above.size else 0.0
    for unit, factor in _UNITS.items():
        if _TISSUE[0] <= median * factor <= _TISSUE[1]:
            values *= factor
            return [f"ADC in {unit} was brought to 1e-6 mm2/s"] if factor != 1 else [], []
    return [], [f"the unit of ADC is not known: its median of {median:.3g} is that of no tissue in mm2/s"]
