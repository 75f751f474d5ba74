"""What every volume goes through, whichever library opens it: a usable grid, what was measured, and its unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyscan.dicom.volume import COARSEST, FINEST
from polyscan.errors import PolyscanError
from polyscan.formats.bids_pet import bids_suv_factor
from polyscan.formats.fill_values import check_not_empty, without_fill_values
from polyscan.geometry import image_of, is_rectangular, rectangular, spacing_of
from polyscan.modality import modality

if TYPE_CHECKING:
    from monai.data import MetaTensor

_FARTHEST = 1e5  # millimetres from the origin of the frame, which no scanner is wide


@dataclass(frozen=True)
class Volume:
    """A file that a library opened: what its header tells, its values still on disk.

    Attributes:
        path: the file.
        shape: (x, y, z).
        affine: (4, 4) to RAS+ millimetres; it may be sheared.
        load: reads the values (x, y, z) float32.
        problems: what had to be assumed of the header.

    Raises:
        PolyscanError: no scan has voxels of such a size or such axes.
    """

    path: Path
    shape: tuple[int, ...]
    affine: np.ndarray
    load: Callable[[], np.ndarray]
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        name = self.path.name
        if not np.isfinite(self.affine).all() or abs(np.linalg.det(self.affine[:3, :3])) == 0:
            raise PolyscanError(f"{name} has no usable affine in its header; set it (sform or qform of NIfTI).")
        spacing = spacing_of(self.affine)
        if spacing.min() < FINEST or spacing.max() > COARSEST:
            raise PolyscanError(
                f"{name} has voxels of {' x '.join(f'{size:.4g}' for size in spacing)} mm; expected {FINEST} to "
                f"{COARSEST:g} mm: correct its affine or its unit of length (xyzt_units of NIfTI)."
            )
        if np.abs(self.affine[:3, 3]).max() > _FARTHEST:
            raise PolyscanError(f"{name} lies more than {_FARTHEST / 1000:g} m away; correct its affine.")
        if abs(np.linalg.det(self.affine[:3, :3])) < 0.1 * spacing.prod():
            raise PolyscanError(
                f"{name} has axes that lie almost in one plane; set its affine (sform, qform of NIfTI)."
            )

    def read(self, name: str | None = None, given: Mapping[str, Any] | None = None) -> MetaTensor:
        """Read the values; a sheared volume is resampled to a rectangular grid, and a PET in Bq/mL becomes SUV.

        Args:
            name: its modality, which tells the unit; None for masks and images that are prepared already.
            given: attributes that the sidecar of a PET lacks, by DICOM keyword, as ``{"PatientWeight": 70}``.

        Returns:
            (1, x, y, z) float32 with a RAS+ affine in millimetres; ``meta["unit"]`` says what a value means and
            ``meta["problems"]`` what had to be assumed or was repaired; ``meta["doubts"]`` what of it the user should
            confirm.

        Raises:
            PolyscanError: the values cannot be read, or their unit is not known.
        """
        problems, affine, values = list(self.problems), self.affine, self.load()
        doubts: list[str] = []
        unit = modality(name).unit if name else "arbitrary"
        problems += without_fill_values(values, self.path.name, unit)
        if not is_rectangular(affine):
            values, affine = rectangular(values, affine, nearest=name is None)
            problems.append("its axes are not perpendicular: resampled to a rectangular grid")
        if name:
            check_not_empty(values, self.path.name)
        if unit == "SUVbw":
            factor, notes, doubts = bids_suv_factor(self.path, given or {}, values)
            values = values * np.float32(factor)
            problems += notes
        problems += doubts
        meta = {"unit": unit, "problems": problems, "doubts": doubts}
        return image_of(np.ascontiguousarray(values), affine, meta)
