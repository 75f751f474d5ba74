"""Which voxels of a volume hold a measurement at all."""

from __future__ import annotations

import numpy as np

from polyscan.errors import PolyscanError

_LARGEST = 1e30  # fill values of other formats, such as 9.97e36 and 3.4e38, lie above
_HOUNSFIELD = (-1500.0, 32767.0)  # air is -1000; -2000, -3024 and -32768 are what scanners write outside their circle
_SIXTEEN_BITS = 65536.0
_SEVERAL = 3  # values of air; padding has one, or two
_FLAT = 10.0  # Hounsfield units, by which noise alone differs
_SUV = (0.1, 300.0)  # the least of highest values, the most of 99 in 100; a bladder reaches 100
_STORED = (-200.0, 900.0)  # what is left of air, and of water, where -1024 was not added


def without_fill_values(values: np.ndarray, name: str, unit: str = "arbitrary") -> list[str]:
    """Make infinite and absurdly large values NaN, in place, and of a CT what no matter has.

    Args:
        values: the volume, float.
        name: what to call it in a message.
        unit: of the values.

    Returns:
        What was changed.

    Raises:
        PolyscanError: no voxel holds a finite value.
    """
    least, most = _HOUNSFIELD if unit == "HU" else (-_LARGEST, _LARGEST)
    low, high = _range(values)
    if least <= low and high <= most:
        return []
    with np.errstate(invalid="ignore"):
        fill = np.abs(values) > _LARGEST
    count = int(fill.sum())
    if count:
        values[fill] = np.nan
    said = [f"{count} voxels are infinite or beyond {_LARGEST:g}: taken as not measured"] if count else []
    if unit == "HU":
        said += _with_signs(values)
        padding = (values < least) | (values > most)
        if count := int(padding.sum()):
            values[padding] = np.nan
            said.append(f"{count} voxels lie outside {least:g} to {most:g} HU, as padding does: taken as not measured")
    if not np.isfinite(values).any():
        raise PolyscanError(f"{name} holds no finite value; leave it out or export it again.")
    return said


def _with_signs(values: np.ndarray) -> list[str]:
    """Take 65,536 off what 16 bits without a sign make of negative Hounsfield units, in place; padding is one value."""
    with np.errstate(invalid="ignore"):
        lost = (values >= _HOUNSFIELD[0] + _SIXTEEN_BITS) & (values < _SIXTEEN_BITS)
    if len(np.unique(values[lost])) < _SEVERAL:
        return []
    values[lost] -= _SIXTEEN_BITS
    return [f"the sign of {int(lost.sum())} voxels was lost, which left them 65,536 too high: they were made negative"]


def unlike_hounsfield(values: np.ndarray) -> list[str]:
    """What is doubtful where values of a CT look like no Hounsfield units, or like what scanners store, 1024 above."""
    seen = values[::4, ::4, ::4]
    seen = seen[np.isfinite(seen)]
    if seen.size and 0 < np.ptp(seen) < _FLAT:
        return [
            f"all values lie between {seen.min():.3g} and {seen.max():.3g}, unlike Hounsfield units of air and tissue: "
            "they may be attenuation coefficients, or were scaled; check how the file was made"
        ]
    least, water = _STORED
    if seen.size and seen.min() >= least and np.percentile(seen, 75) >= water:
        return [
            f"no value lies below {least:g}, as air does, and a quarter above {water:g}: they may be stored values, "
            "1024 above Hounsfield units; check how the file was made"
        ]
    return []


def unlike_suv(values: np.ndarray) -> list[str]:
    """What is doubtful where values of a PET in SUV are those of no patient: too high or too low by far."""
    seen = values[::2, ::2, ::2]
    seen = seen[seen > 0]
    high, top = (float(np.percentile(seen, 99)), float(seen.max())) if seen.size else (0.0, 1.0)
    if high <= _SUV[1] and top >= _SUV[0]:
        return []
    return [f"SUV reaches {top:.3g}, as that of no patient does: check Units, dose, weight and the time of injection"]


def check_not_empty(values: np.ndarray, name: str) -> None:
    """Refuse a scan whose measured voxels are all 0.

    Raises:
        PolyscanError: they are.
    """
    low, high = _range(values)
    if not (low < 0 or high > 0):
        raise PolyscanError(f"{name} is empty: every voxel is 0; leave it out or export it again.")


def _range(values: np.ndarray) -> tuple[float, float]:
    """The lowest and highest value, NaN left out; both NaN where there is no other."""
    low, high = (end.reduce(values, axis=None, initial=np.nan) for end in (np.fmin, np.fmax))
    return float(low), float(high)
