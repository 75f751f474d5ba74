"""Half-lives of the nuclides that PET is made with, and what an injected dose can be."""

from __future__ import annotations

import re

from polyscan.errors import PolyscanError

# Seconds; Decay Data Evaluation Project (LNE-LNHB, Monographie BIPM-5).
_HALF_LIVES = {
    ("c", "carbon", 11): 1223.4,
    ("n", "nitrogen", 13): 597.9,
    ("o", "oxygen", 15): 122.24,
    ("f", "fluorine", 18): 6586.2,
    ("sc", "scandium", 44): 14_292.0,
    ("cu", "copper", 62): 580.2,
    ("cu", "copper", 64): 45_723.6,
    ("ga", "gallium", 68): 4062.6,
    ("br", "bromine", 76): 58_320.0,
    ("rb", "rubidium", 82): 76.4,
    ("y", "yttrium", 86): 53_064.0,
    ("zr", "zirconium", 89): 282_240.0,
    ("i", "iodine", 124): 360_800.0,
}
# CodeValue to nuclide, of both coding schemes (PS3.16, CID 4020).
_CODES = {
    "C-105A1": "C11", "C-107A1": "N13", "C-B1038": "O15", "C-111A1": "F18", "C-127A5": "Cu62", "C-127A2": "Cu64",
    "C-131A3": "Ga68", "C-113A2": "Br76", "C-159A2": "Rb82", "C-162A3": "Y86", "C-168A4": "Zr89", "C-114A5": "I124",
    "40565003": "C11", "21576001": "N13", "129504001": "O15", "77004003": "F18", "126600": "Sc44", "422934004": "Cu62",
    "3932008": "Cu64", "35337001": "Ga68", "79523006": "Br76", "79197006": "Rb82", "10738001": "Y86",
    "63360001": "Zr89", "40937006": "I124",
}  # fmt: skip
_LEAST, _MOST = 1e6, 1e10
_AGREES = 0.02


def half_life_of(name: str) -> float | None:
    """Seconds, by a name such as ``F18``, ``18F``, ``[18F]``, ``Fluorine-18`` or ``^18^Fluorine``; None of others."""
    parts = re.findall(r"[a-z]+|\d+", name.lower())
    for (symbol, word, mass), seconds in _HALF_LIVES.items():
        if str(mass) in parts and (symbol in parts or word in parts):
            return seconds
    return None


def nuclide_of(code: str) -> str:
    """The nuclide that a CodeValue stands for; empty of others."""
    return _CODES.get(code, "")


def check_half_life(told: float, nuclide: str, attribute: str) -> None:
    """Refuse a half-life in seconds that is another than that of the nuclide that is named beside it.

    Where none is named, one that no nuclide of PET has in seconds and one has in minutes or hours.

    Raises:
        PolyscanError: it disagrees by more than 2 %.
    """
    known, whose = half_life_of(nuclide), "that the header names"
    if known is None and not any(_agree(told, seconds) for seconds in _HALF_LIVES.values()):
        known = next((s for s in _HALF_LIVES.values() for unit in (60, 3600) if _agree(told * unit, s)), None)
        whose = "that has as many minutes or hours"
    if known is not None and not _agree(told, known):
        raise PolyscanError(f"{attribute} is {told:g} s, and the nuclide {whose} has {known:g} s; correct one of them.")


def _agree(told: float, known: float) -> bool:
    return abs(told / known - 1) <= _AGREES


def check_dose(becquerel: float, attribute: str) -> None:
    """Refuse an injected dose in Bq that nobody is given: less than 1 MBq or more than 10 GBq.

    Raises:
        PolyscanError: it lies outside, as a dose in MBq does that is read as Bq.
    """
    if not _LEAST <= becquerel <= _MOST:
        raise PolyscanError(
            f"{attribute} lies outside 1 MBq to 10 GBq, read as Bq. Is it in another unit? Correct it, or write "
            'the dose in Bq by hand into the manifest, as "given": {"RadionuclideTotalDose": ...} of the scan.'
        )
