"""The b-value of a diffusion-weighted slice, wherever its vendor writes it."""

from __future__ import annotations

import re

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import number, numbers, private, private_text, text, words

# Group, creator of the block and element: as the vendors' DICOM conformance statements give them.
_VENDORS = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x2001, "Philips Imaging DD 001", 0x03),
    (0x0065, "Image Private Header", 0x09),
    (0x0043, "GEMS_PARM_01", 0x39),
)
# Siemens writes *ep_b1000t or *re_b1000t as SequenceName, Canon b=1000(0.4,0.0,0.9) as ImageComments.
_WRITTEN = {"SequenceName": re.compile(r"^\*?[a-z]{2,4}_b(\d+)"), "ImageComments": re.compile(r"^#? ?b=(\d+)")}
_SIEMENS_DIRECTION = (0x0019, "SIEMENS MR HEADER", 0x0E)
_PHILIPS_DIRECTION = (0x2001, "Philips Imaging DD 001", 0x04)  # I isotropic, else P, M, S or O
_HIGHEST = 50_000.0  # s/mm2; what GE adds to a value to say how it was made is far above


def b_value(header: Dataset) -> float | None:
    """The b-value in s/mm2 of a slice, None where nothing tells it.

    DiffusionBValue, what Siemens, Philips, United Imaging and GE write in private attributes, or what a text says. GE
    adds 1e9, and other multiples of 100,000, to tell how a value was computed; they are taken off.
    """
    found = number(header, "DiffusionBValue")
    for group, creator, element in _VENDORS:
        if found is None:
            values = private(header, group, creator, element)
            found = values[0] if values else None
    for name, pattern in _WRITTEN.items():
        if found is None and (written := pattern.search(text(header, name))):
            found = float(written[1])
    if found is None or not np.isfinite(found) or found < 0:
        return None
    return found if found <= _HIGHEST else found % 100_000


def is_directional(header: Dataset) -> bool:
    """Whether a diffusion-weighted slice is that of one direction, and no mean of several (a trace image)."""
    directionality = text(header, "DiffusionDirectionality") or philips_direction(header)
    if directionality:
        return directionality not in ("ISOTROPIC", "I", "NONE")
    if "TRACEW" in words(header, "ImageType"):
        return False
    orientation = numbers(header, "DiffusionGradientOrientation", 3)
    return bool(np.any(private(header, *_SIEMENS_DIRECTION) if orientation is None else orientation))


def philips_direction(header: Dataset) -> str:
    """What Philips calls the direction of a diffusion-weighted slice; empty where it does not."""
    return private_text(header, *_PHILIPS_DIRECTION)
