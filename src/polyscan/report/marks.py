"""What the page of a study says of maps of attribution: how much lies on each scan, and in the region found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyscan.study import AttributionRecord

_METHODS = {"gradcam": "Grad-CAM"}


def told(found: AttributionRecord) -> str:
    """What a map explains, and by what: ``whole tumour, by Grad-CAM at level 1``."""
    return f"{_explains(found)}, by {_method(found)}"


def scale(maps: Sequence[np.ndarray]) -> float:
    """The absolute value that a thousandth of the voxels of all maps exceed."""
    return max((float(np.nanquantile(np.abs(values), 0.999)) for values in maps), default=0.0) or 1.0


def within(values: np.ndarray, region: np.ndarray) -> float | None:
    """The part of what a map marks in favour that lies in a region; None where it marks nothing so."""
    favour = np.nan_to_num(values).clip(min=0)
    total = favour.sum(dtype=float)
    return float(favour[region].sum(dtype=float) / total) if total > 0 else None


def explained(attributions: Sequence[AttributionRecord], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """The maps by what they explain: its name and colour, and of each map its number, method and shares.

    Args:
        attributions: of a prediction.
        colours: region to its colour.
    """
    answers: dict[str, list[dict[str, Any]]] = {}
    for number, found in enumerate(attributions):
        said = {"number": number, "method": _method(found), "told": told(found), "shares": found.shares}
        answers.setdefault(_explains(found), []).append(said)
    return [{"name": name, "colour": colours.get(name), "maps": maps} for name, maps in answers.items()]


def _explains(found: AttributionRecord) -> str:
    return f"{found.target}: {found.predicted_class}" if found.predicted_class else found.target


def _method(found: AttributionRecord) -> str:
    name, _, level = found.method.partition(":")
    return _METHODS.get(name, name.replace("-", " ")) + (f" at level {level}" if level else "")
