"""How near a translation is to the scan that was acquired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np

from polyscan.evaluation import dice
from polyscan.evaluation.statistics import known_mean

_CT = {"air": (-np.inf, -300.0), "soft tissue": (-300.0, 150.0), "bone": (150.0, np.inf)}
_WHOLE = {"everything": (-np.inf, np.inf)}


@dataclass(frozen=True)
class Fidelity:
    """How a translation agrees with the truth in one tissue.

    Attributes:
        error: mean absolute error over the voxels that are this tissue in the scan that was acquired, in its unit; NaN
            where there are none.
        dice: of the voxels that are this tissue in either; NaN where there are none in both.
    """

    error: float
    dice: float


def fidelity(translated: np.ndarray, acquired: np.ndarray, unit: str) -> dict[str, Fidelity]:
    """Compare a translated scan with the one that was acquired.

    Args:
        translated: (x, y, z); what is NaN in either is not compared.
        acquired: on the same grid, in the same unit.
        unit: of both. Hounsfield units tell air, soft tissue and bone apart (at -300 and 150 HU); of others all voxels
            are one.

    Returns:
        Tissue to how well it agrees.
    """
    known = np.isfinite(translated) & np.isfinite(acquired)
    found, true = translated[known], acquired[known]
    return {
        tissue: _agreement(found, true, low, high) for tissue, (low, high) in (_CT if unit == "HU" else _WHOLE).items()
    }


def mean_fidelity(each: list[dict[str, Fidelity]]) -> Mapping[str, Fidelity]:
    """The mean over scans of what :func:`fidelity` says, scans without a tissue left out."""
    tissues = each[0] if each else {}
    return {
        tissue: Fidelity(*map(known_mean, zip(*(astuple(one[tissue]) for one in each), strict=True)))
        for tissue in tissues
    }


def _agreement(found: np.ndarray, true: np.ndarray, low: float, high: float) -> Fidelity:
    predicted, real = ((low <= values) & (values < high) for values in (found, true))
    error = float(np.abs(found[real] - true[real]).mean()) if real.any() else float("nan")
    return Fidelity(error, dice(predicted, real))
