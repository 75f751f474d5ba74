"""Apparent diffusion coefficients in one unit, whatever power of ten they were stored in."""

from __future__ import annotations

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import items, number, text

_TISSUE = (150.0, 5000.0)  # 1e-6 mm2/s, of the median: fat or bone marrow to free water at body temperature, 3000
_UNITS = {"1e-6 mm2/s": 1.0, "1e-3 mm2/s": 1e3, "mm2/s": 1e6}
_CODES = {"um2/s": 1.0, "10-6.mm2/s": 1.0, "10*-6.mm2/s": 1.0, "10-3.mm2/s": 1e3, "10*-3.mm2/s": 1e3, "mm2/s": 1e6}
_BY_HEADER = "the unit of its RealWorldValueMappingSequence"


def to_square_micrometres(values: np.ndarray, told: float | None = None) -> tuple[list[str], list[str]]:
    """Bring an ADC map, in place, to 1e-6 mm2/s (square micrometres a second).

    By what its header tells, where the median of what lies above 0 is that of tissue then; else by that median alone:
    scanners write 800 (1e-6 mm2/s), 0.8 (1e-3 mm2/s) or 0.0008 (mm2/s) for one and the same grey matter, and few of
    them say which.

    Args:
        values: the map, any shape, float.
        told: what its header says that values are to be multiplied by, see :func:`told_of`.

    Returns:
        What was changed, and what is doubtful: the unit where no power of ten fits, or another one than was told.

    Example:
        >>> adc = np.array([0.0, 0.7, 0.8, 0.9])
        >>> to_square_micrometres(adc)
        (['ADC in 1e-3 mm2/s was brought to 1e-6 mm2/s'], [])
        >>> adc.round().tolist()
        [0.0, 700.0, 800.0, 900.0]
    """
    above = values[values > 0]
    median = float(np.median(above)) if above.size else 0.0
    for unit, factor in {**({} if told is None else {_BY_HEADER: told}), **_UNITS}.items():
        if _TISSUE[0] <= median * factor <= _TISSUE[1]:
            values *= factor
            doubt = told is not None and unit != _BY_HEADER
            return (
                [f"ADC in {unit} was brought to 1e-6 mm2/s"] if factor != 1 else [],
                [f"ADC has values of tissue in {unit}, and not in {_BY_HEADER}"] if doubt else [],
            )
    return [], [f"the unit of ADC is not known: its median of {median:.3g} is that of no tissue in mm2/s"]


def told_of(header: Dataset) -> float | None:
    """What rescaled values are multiplied by to be 1e-6 mm2/s, as RealWorldValueMappingSequence says, if it does."""
    mapping = next(iter(items(header, "RealWorldValueMappingSequence")), header)  # of frames it is among the others
    codes = [text(code, "CodeValue") for code in items(mapping, "MeasurementUnitsCodeSequence")]
    slope, unit = number(mapping, "RealWorldValueSlope"), _CODES.get(codes[0]) if codes else None
    intercepts = number(mapping, "RealWorldValueIntercept"), number(header, "RescaleIntercept")
    if slope is None or unit is None or any(intercepts):
        return None
    return unit * slope / (number(header, "RescaleSlope") or 1.0)
