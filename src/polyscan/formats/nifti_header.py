"""Where a NIfTI or Analyze header says that voxels lie, and how values are scaled; a field at fault is refused or said.

nibabel puts a default in place of a field that cannot be, as 1 mm for a voxel size of 0, so that the header is read
again as it is stored.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from polyscan.errors import PolyscanError
from polyscan.geometry import corners, spacing_of

_TO_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}  # xyzt_units: unknown, metre, millimetre, micrometre


def stored_header(file: Any) -> Any:
    """The header of an image of nibabel's NIfTI or Analyze classes, with no field mended; None of other formats."""
    kind = type(file.header)
    if not issubclass(kind, nibabel.AnalyzeHeader):
        return None
    holder = file.file_map.get("header", file.file_map["image"])
    with holder.get_prepare_fileobj("rb") as opened:
        return kind(opened.read(kind.template_dtype.itemsize), check=False)


def place_of(path: Path, file: Any, stored: Any) -> tuple[np.ndarray, list[str]]:
    """Where the voxels lie.

    Args:
        path: what a sentence names.
        file: an image of nibabel.
        stored: see :func:`stored_header`.

    Returns:
        (4, 4) to RAS+ millimetres, and what had to be assumed of it.

    Raises:
        PolyscanError: a field that decides on the place cannot be.
    """
    affine, problems = np.array(file.affine, dtype=np.float64), list[str]()
    if stored is None:  # other formats have one way to say it, in millimetres
        return affine, problems
    if "sform_code" not in stored:
        problems.append("an Analyze file does not tell its place or which side is left: taken as stored right to left")
        return affine, problems + _sizes(path, stored)
    sform, qform = int(file.header["sform_code"]), int(file.header["qform_code"])
    if sform and qform and not _is_usable(affine) and _is_usable(by_qform := _qform_of(file.header)):
        sform, affine = 0, by_qform
        problems.append("its sform is none: the qform was used")
    for name in ("sform_code", "qform_code"):
        if int(stored[name]) != int(file.header[name]):
            problems.append(f"{name} is {int(stored[name])}, which is no code of NIfTI: taken as not set")
    if not sform:
        problems += _sizes(path, stored)
    if not sform and not qform:
        problems.append("neither sform nor qform is set: its place and which side is left are not known")
    elif not sform:
        side = float(stored["pixdim"][0])
        if side not in (-1, 0, 1):  # 0 means 1 by the standard
            raise PolyscanError(
                f"{path.name} has {side:g} in pixdim[0] (qfac), which tells which way the slices go; expected 1 or -1: "
                "set it, or the sform."
            )
    else:
        problems += _beside_sform(affine, file.header, qform)
    unit = int(stored["xyzt_units"]) & 7
    if unit not in _TO_MILLIMETRES:
        raise PolyscanError(f"{path.name} has xyzt_units {unit}, which is no length; set it to millimetres.")
    affine[:3] *= _TO_MILLIMETRES[unit]
    if _TO_MILLIMETRES[unit] != 1:
        problems.append(f"its unit of length is the {'metre' if unit == 1 else 'micrometre'}: brought to millimetres")
    return affine, problems


def scale_of(path: Path, stored: Any) -> list[str]:
    """What is odd about how stored values are scaled.

    Raises:
        PolyscanError: the slope is infinite, which nibabel takes for no scale.
    """
    if stored is None or not {"scl_slope", "scl_inter"} <= set(stored.keys()):
        return []
    slope, intercept = float(stored["scl_slope"]), float(stored["scl_inter"])
    if math.isinf(slope):
        raise PolyscanError(
            f"{path.name} has scl_slope {slope:g}, which is no scale; set it, or 0 for values as stored."
        )
    if slope == 0 or math.isnan(slope):  # nibabel's own way to write that there is none
        lost = math.isfinite(intercept) and intercept != 0
        return [f"scl_inter is {intercept:g} with no scl_slope: values are those stored"] if lost else []
    return [f"scl_slope is {slope:g}: what is stored as bright is dark"] if slope < 0 else []


def _sizes(path: Path, stored: Any) -> list[str]:
    """What is odd about the voxel sizes of pixdim, where nothing else tells them."""
    sizes = np.asarray(stored["pixdim"][1:4], dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes != 0)).all():
        raise PolyscanError(
            f"{path.name} has voxel sizes of {' x '.join(f'{size:g}' for size in sizes)} in pixdim, and no sform; set "
            "pixdim, or the sform."
        )
    return ["pixdim is negative: its absolute value was taken"] if (sizes < 0).any() else []


def _is_usable(affine: np.ndarray) -> bool:
    """Whether a (4, 4) affine maps voxels to a volume."""
    return bool(np.isfinite(affine).all()) and np.linalg.det(affine[:3, :3]) != 0


def _qform_of(header: Any) -> np.ndarray:
    """(4, 4) in the unit of the header; NaN where the fields are no rotation."""
    with np.errstate(invalid="ignore"):
        try:
            return np.asarray(header.get_qform(), dtype=np.float64)
        except ValueError:
            return np.full((4, 4), np.nan)


def _beside_sform(affine: np.ndarray, header: Any, qform: int) -> list[str]:
    """What the other fields say that differs from the sform, which is used."""
    problems, shape = list[str](), header.get_data_shape()
    if qform:
        with np.errstate(invalid="ignore"):
            other = corners(_qform_of(header), shape)
            apart = float(np.linalg.norm(corners(affine, shape) - other, axis=1).max())
        if not math.isfinite(apart):
            problems.append("its qform is none: the sform was used")
        elif apart > 0.1 * spacing_of(affine).min():
            problems.append(f"sform and qform lie up to {apart:.3g} apart: the sform was used")
    own, told = spacing_of(affine), np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if not (np.abs(told - own) * np.asarray(shape[:3])).max() <= 0.1 * own.min():  # one that is no number is said too
        problems.append("pixdim tells other voxel sizes than the sform: the sform was used")
    return problems
