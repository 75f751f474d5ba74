"""What polyscan must know of a kind of scan."""

from __future__ import annotations

import re
from dataclasses import dataclass

DICOM = ("MR", "CT", "PT")
UNITS = ("HU", "SUVbw", "arbitrary")
LAST = 100
"""The precedence of modalities for which none is given."""


@dataclass(frozen=True)
class Modality:
    """One kind of scan.

    Attributes:
        name: the name used as a key everywhere, such as ``"T1c"``: letters, digits and ``_``.
        dicom: the DICOM Modality (0008,0060) that holds it: ``"MR"``, ``"CT"`` or ``"PT"``.
        unit: what a voxel's value means: ``"HU"``, ``"SUVbw"`` or ``"arbitrary"``.
        suffix: the BIDS entities and suffix of its files, such as ``"ce-gd_T1w"``; no other modality has the same.
        aliases: regular expressions of words in lower case that name it in a file's name or a series' description.
            Those of T1, T2 and their kin, which are told from each other, stand in :mod:`polyscan.dicom.words`.
        is_map: whether it is computed from a series whose words stand beside its own, as in ``dwi_ADC``.
        window: lowest and highest value that are shown, in its unit; None where scans differ, as in most MRI.
        colours: the matplotlib colour map of pictures.
        precedence: which scan of a study comes first where one must be chosen: the lowest.
        signed: whether values below zero can be its own; where not, they tell a phase image or a field map.

    Raises:
        ValueError: ``dicom`` or ``unit`` is none of those above, the name holds other characters, or an alias capital
            letters.
    """

    name: str
    dicom: str
    unit: str
    suffix: str
    aliases: tuple[str, ...] = ()
    is_map: bool = False
    window: tuple[float, float] | None = None
    colours: str = "gray"
    precedence: int = LAST
    signed: bool = True

    def __post_init__(self) -> None:
        if self.dicom not in DICOM or self.unit not in UNITS:
            raise ValueError(
                f"{self.name} has the DICOM Modality {self.dicom!r} and the unit {self.unit!r}; expected one of "
                f"{', '.join(DICOM)} and one of {', '.join(UNITS)}."
            )
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.name):
            raise ValueError(f"{self.name!r} is no name of a modality: write letters, digits and _.")
        if isinstance(self.aliases, str):
            raise ValueError(f"{self.name} has the aliases {self.aliases!r}; write a tuple: ({self.aliases!r},).")
        for alias in self.aliases:
            if re.search("[A-Z]", re.sub(r"\\.", "", alias)):
                raise ValueError(f"{self.name} has the alias {alias!r}; texts are in lower case: {alias.lower()!r}.")
            re.compile(alias)

    @property
    def has_unit(self) -> bool:
        """Whether values of two scans can be compared as they are; otherwise they are normalised first."""
        return self.unit != "arbitrary"
