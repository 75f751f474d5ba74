"""A scan or a label that may become part of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from polyscan.geometry import corners
from polyscan.study import Source

SAME_PLACE = 0.1  # millimetres between the corners of one grid, which is written with few digits now and then


@dataclass
class Candidate:
    """A scan or a label that may become part of a study.

    Attributes:
        subject, session: whose it is.
        modality: what it is, or, of a label, what it was drawn on; None where it is left out,
            or where only its grid can tell what a label was drawn on.
        reason: why.
        source: where it lies.
        name: what to call it in the decisions.
        rank: the lowest is taken where there are several: the usual one, then that with the finest voxels, then most
            slices, then the softer kernel, then the latest.
        frame: FrameOfReferenceUID.
        label: whether it is a label.
        on: of a label that refers to a series where that lies; None where only the modality is known.
        day: when it was made.
        shape, affine: its grid, where that is known.
        notes: what was decided about its slices, without names of files.
        space: of BIDS, what it was registered to, where its name tells.
        meant: the modality of a scan that cannot be used.
        by_folder: whether only the name of its folder tells the modality.
    """

    subject: str
    session: str | None
    modality: str | None
    reason: str
    source: Source
    name: str
    rank: tuple = ()
    frame: str | None = None
    label: bool = False
    on: Source | None = None
    day: date | None = None
    shape: tuple[int, ...] | None = None
    affine: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    space: str | None = None
    by_folder: bool = False
    meant: str | None = None

    def to_json(self) -> dict[str, Any]:
        """It, in what JSON knows but for numbers of NumPy."""
        affine = None if self.affine is None else np.asarray(self.affine, dtype=float).tolist()
        return {**vars(self), "affine": affine, "day": self.day and self.day.isoformat()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Candidate:
        """What :meth:`to_json` wrote."""
        found = cls(**row)
        found.rank = tuple(tuple(part) if isinstance(part, list) else part for part in found.rank)
        found.affine = None if found.affine is None else np.array(found.affine)
        found.shape = None if found.shape is None else tuple(found.shape)
        found.day = None if row["day"] is None else date.fromisoformat(row["day"])
        return found

    def lies_beside(self, other: Candidate) -> bool:
        """Whether its middle lies outside of another scan, in the frame of reference of both."""
        if not self.frame or self.frame != other.frame or self.affine is None or other.affine is None:
            return False
        assert self.shape is not None and other.shape is not None
        middle = self.affine @ [*(np.array(self.shape[:3]) - 1) / 2, 1]
        voxel = (np.linalg.inv(other.affine) @ middle)[:3]
        return bool(np.any(voxel < -0.5) or np.any(voxel > np.array(other.shape[:3]) - 0.5))

    def on_grid_of(self, other: Candidate) -> bool:
        """Whether both have the same voxels in the same places, though their axes may run otherwise."""
        if self.shape is None or self.affine is None or other.affine is None or other.shape is None:
            return False
        mine, others = corners(self.affine, self.shape), corners(other.affine, other.shape)
        apart = np.linalg.norm(mine[:, None] - others, axis=-1)
        return sorted(self.shape) == sorted(other.shape) and bool(apart.min(0).max() <= SAME_PLACE)


def coarsely(voxel: float) -> float:
    """The volume of a voxel to two digits, as it is compared: what oblique slices are wide differs by rounding."""
    return float(f"{voxel:.2g}")
