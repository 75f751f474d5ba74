"""What a modality is: its name, the machine that makes it, the unit of its values, how it is found and shown.

Each file of this package lists modalities as ``MODALITIES``; another file adds others, and nothing else need know.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Sequence

from polyscan.errors import PolyscanError
from polyscan.modality.base import LAST, Modality
from polyscan.scan_key import ScanKey

__all__ = ["MODALITIES", "Modality", "by_precedence", "calibrated_channels", "find_modality", "modality"]


def _listed() -> dict[str, Modality]:
    """Every modality that a file of this package lists, the first in precedence first."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    files = [importlib.import_module(f"{__name__}.{name}") for name in names]
    every = [each for file in files for each in file.MODALITIES]
    for what in ("name", "suffix"):
        given = [getattr(each, what) for each in every]
        if twice := sorted({value for value in given if given.count(value) > 1}):
            raise ValueError(f"two modalities have the {what} {', '.join(twice)}; each needs one of its own.")
    return {each.name: each for each in sorted(every, key=lambda each: each.precedence)}


MODALITIES = _listed()


def find_modality(name: str) -> Modality | None:
    """As :func:`modality`; None where no modality has this name, as of a table."""
    return MODALITIES.get(ScanKey.parse(name).modality)


def modality(name: str) -> Modality:
    """Look a modality up by its name or by the key of a scan: that of ``"T1c@2"`` is T1c.

    Raises:
        PolyscanError: no modality has this name.
    """
    known = find_modality(name)
    if known is None:
        raise PolyscanError(f"Modality {name!r} is not known; use one of {', '.join(MODALITIES)}.")
    return known


def calibrated_channels(modalities: Sequence[str]) -> set[int]:
    """Which of the channels of an image hold values with a unit, such as HU and SUV, and not of a scanner's own scale.

    Example:
        >>> calibrated_channels(["CT", "T1", "PET"])
        {0, 2}
    """
    known = enumerate(find_modality(name) for name in modalities)
    return {channel for channel, each in known if each is not None and each.has_unit}


def by_precedence(names: Iterable[str]) -> list[str]:
    """Keys of scans, that one first that stands for a study; of several times the first, and unknown ones last."""

    def precedence(name: str) -> tuple[int, int]:
        known = find_modality(name)
        return LAST if known is None else known.precedence, ScanKey.parse(name).time or 1

    return sorted(names, key=precedence)
