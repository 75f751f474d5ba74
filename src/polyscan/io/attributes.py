"""DICOM attributes as plain values: one that is missing, empty or nonsense is None or empty, never an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset

    Name = str | tuple[int, int]


def value(header: Dataset, name: Name) -> Any:
    """An attribute by keyword or tag; None where it is missing, empty or cannot be decoded."""
    try:
        found = header.get(name)
    except Exception:  # decoding nonsense fails in as many ways as there are value representations
        return None
    found = getattr(found, "value", found)
    return None if found is None or (hasattr(found, "__len__") and len(found) == 0) else found


def words(header: Dataset, name: Name) -> list[str]:
    """The values of an attribute, each as stripped text."""
    found = value(header, name)
    if found is None:
        return []
    several = [found] if isinstance(found, (str, bytes)) or not hasattr(found, "__iter__") else found
    return [str(item).strip() for item in several]


def text(header: Dataset, name: Name) -> str:
    """An attribute as text; several values are joined as DICOM does, by backslashes."""
    return "\\".join(words(header, name))


def number(header: Dataset, name: Name) -> float | None:
    """The first value of an attribute as a finite number, None where it is none."""
    try:
        found = float(words(header, name)[0])
    except (IndexError, ValueError):
        return None
    return found if np.isfinite(found) else None


def numbers(header: Dataset, name: Name, count: int) -> np.ndarray | None:
    """An attribute of that many finite numbers as (count,) float64, None where it is no such thing."""
    try:
        found = np.array([float(item) for item in words(header, name)])
    except ValueError:
        return None
    return found if found.shape == (count,) and np.isfinite(found).all() else None


def items(header: Dataset, name: Name) -> list[Dataset]:
    """The items of a sequence."""
    from pydicom.sequence import Sequence

    found = value(header, name)
    return list(found) if isinstance(found, Sequence) else []
