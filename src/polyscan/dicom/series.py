"""One volume that a folder holds: where it lies, and why it can or cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from polyscan.dicom.attributes import text
from polyscan.dicom.slices import Slice
from polyscan.dicom.volume import Stack, grid_of

ONE_SLICE = "one slice is no volume"


@dataclass(frozen=True)
class Series:
    """One volume that a folder holds.

    Attributes:
        slices: from the lowest to the highest position along the normal.
        modality: its name, None where it cannot be used.
        reason: why it has this modality, or why it is left out.
        where: the geometry, None where it has none.
        volume: its number, from 1, among the volumes of its files; 0 where it is the only one.
        notes: what was decided about its slices, or is wrong with files beside them.
        shows: of a reformatted series the modality that it was cut out of, and why.
        meant: the modality of one whose slices make no volume.
        passes: which it is, from 1, and of how many of its series that lie at its positions and are of its kind, made
            one after the other or with another tube voltage.
    """

    slices: list[Slice]
    modality: str | None
    reason: str
    where: Stack | None
    volume: int = 0
    notes: tuple[str, ...] = ()
    shows: tuple[str | None, str] = (None, "")
    meant: str | None = None
    passes: tuple[int, int] = (1, 1)

    def __repr__(self) -> str:
        """Without the headers, which name the patient and fill pages."""
        size = "no volume" if self.shape is None else " x ".join(map(str, self.shape))
        return f"Series({self.modality}, {size}, of {len(self.files)} files: {self.reason})"

    @property
    def headers(self) -> list[Dataset]:
        """The headers of the slices, each as a classic single-frame image has it, without pixels."""
        return [each.header for each in self.slices]

    @property
    def files(self) -> list[Path]:
        """The files, each once."""
        return list(dict.fromkeys(each.path for each in self.slices))

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(x, y, z) of the image of :func:`polyscan.dicom.read.read_series`; None where there is no geometry."""
        return None if self.where is None else self._grid(self.where)[0]

    @property
    def affine(self) -> np.ndarray | None:
        """The (4, 4) affine of that image to RAS+ millimetres; None where there is no geometry."""
        return None if self.where is None else self._grid(self.where)[1]

    def _grid(self, where: Stack) -> tuple[tuple[int, int, int], np.ndarray]:
        return grid_of(where, int(self.headers[0].Columns), int(self.headers[0].Rows))

    @property
    def voxel(self) -> float:
        """The volume of a voxel in cubic millimetres; infinite where there is no geometry."""
        return self.where.spacing[0] * self.where.spacing[1] * self.where.step if self.where else float("inf")

    @property
    def frame_of_reference(self) -> str | None:
        """The FrameOfReferenceUID."""
        return text(self.headers[0], "FrameOfReferenceUID") or None

    def noted(self, note: str, advice: str = "") -> Series:
        """This one with a note, which its reason says too, without the advice."""
        told = f"{note}: {advice}" if advice else note
        return replace(self, notes=(*self.notes, told), reason=f"{self.reason}; {note}")

    def refused(self, what: str) -> Series:
        """This one as none that can be used unasked, with what it is."""
        return replace(self, modality=None, reason=f"{what}; to use it name it in the manifest; {self.reason}")
