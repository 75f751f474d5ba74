"""NIfTI in and out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.files.atomic import whole_file
from polyscan.formats.bids_pet import bids_suv_factor
from polyscan.formats.measured import check_not_empty, without_fill_values
from polyscan.geometry import corners, is_rectangular, rectangular, spacing_of
from polyscan.modality import modality

_TO_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}  # xyzt_units: unknown, metre, millimetre, micrometre
_FINEST, _COARSEST = 0.02, 50.0  # millimetres


def read_nifti(path: str | Path, name: str | None = None, given: Mapping[str, Any] | None = None) -> MetaTensor:
    """Read a 3D image; a sheared one is resampled to a rectangular grid, and a PET in Bq/mL becomes SUV.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file.
        name: its modality, which tells the unit; None for masks and images that are prepared already.
        given: attributes that the sidecar of a PET lacks, by DICOM keyword, as ``{"PatientWeight": 70}``.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres; ``meta["unit"]`` says what a value means and
        ``meta["problems"]`` what had to be assumed or was repaired.

    Raises:
        PolyscanError: no readable NIfTI file, not one 3D volume of numbers, or no usable affine.
    """
    path = Path(path)
    file = _open(path)
    affine, problems = _affine(path, file.header, file.affine)
    values = _values(path, file)
    problems += without_fill_values(values, path.name)
    if not is_rectangular(affine):
        values, affine = rectangular(values, affine, nearest=name is None)
        problems.append("its axes are not perpendicular: resampled to a rectangular grid")
    unit = modality(name).unit if name else "arbitrary"
    if name:
        check_not_empty(values, path.name)
    if unit == "SUVbw":
        factor, notes = bids_suv_factor(path, given or {})
        values = values * np.float32(factor)
        problems += notes
    meta = {"unit": unit, "problems": problems}
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values)[None]), affine=torch.from_numpy(affine), meta=meta)


def write_nifti(path: str | Path, image: MetaTensor) -> None:
    """Write a (1, x, y, z) image with its affine, in the type that it has, whole or not at all."""
    values = image[0].cpu().numpy()
    file = nibabel.Nifti1Image(values, np.asarray(image.affine, dtype=float))
    file.header.set_xyzt_units("mm")
    with whole_file(path) as temporary:
        nibabel.save(file, temporary)


def _open(path: Path) -> Any:
    """A file whose header tells of one 3D volume of real numbers; its values are not read yet."""
    try:
        file: Any = nibabel.load(path)
        kind, shape = file.header.get_data_dtype(), tuple(int(size) for size in file.shape)
    except FileNotFoundError:
        raise PolyscanError(f"{path} does not exist; name an existing file in the manifest.") from None
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as NIfTI ({error}); write it again or leave it out.") from error
    if kind.names:
        raise PolyscanError(f"{path.name} is a colour image ({len(kind.names)} values a voxel); leave it out.")
    if kind.kind == "c":
        raise PolyscanError(f"{path.name} holds complex numbers; export their magnitude.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or 0 in shape:
        raise PolyscanError(f"{path} has shape {shape}; expected one 3D volume: split it first.")
    return file


def _values(path: Path, file: Any) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is then said
            values = np.array(file.dataobj, dtype=np.float32)
    except Exception as error:
        raise PolyscanError(f"{path} cannot be read as NIfTI ({error}); write it again or leave it out.") from error
    return values.reshape(values.shape[:3])


def _affine(path: Path, header: Any, affine: Any) -> tuple[np.ndarray, list[str]]:
    """(4, 4) to RAS+ millimetres, and what had to be assumed of it."""
    affine, problems = np.array(affine, dtype=np.float64), []
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) == 0:
        raise PolyscanError(f"{path} has no usable affine in its header; set its sform or qform.")
    fields = header.keys() if hasattr(header, "keys") else ()
    if "sform_code" in fields:
        sform, qform = int(header["sform_code"]), int(header["qform_code"])
        if not sform and not qform:
            problems.append("neither sform nor qform is set: its place and which side is left are not known")
        elif sform and qform:
            other = np.asarray(header.get_qform(), dtype=np.float64)
            apart = np.linalg.norm(
                corners(affine, header.get_data_shape()) - corners(other, header.get_data_shape()), axis=1
            )
            if apart.max() > 0.1 * spacing_of(affine).min():
                problems.append(f"sform and qform lie up to {apart.max():.3g} apart: the sform was used")
    unit = int(header["xyzt_units"]) & 7 if "xyzt_units" in fields else 2
    if unit not in _TO_MILLIMETRES:
        raise PolyscanError(f"{path.name} has xyzt_units {unit}, which is no length; set it to millimetres.")
    affine[:3] *= _TO_MILLIMETRES[unit]
    if _TO_MILLIMETRES[unit] != 1:
        problems.append(f"its unit of length is the {'metre' if unit == 1 else 'micrometre'}: brought to millimetres")
    spacing = spacing_of(affine)
    if spacing.min() < _FINEST or spacing.max() > _COARSEST:
        raise PolyscanError(
            f"{path.name} has voxels of {' x '.join(f'{size:.4g}' for size in spacing)} mm; expected {_FINEST} to "
            f"{_COARSEST:g} mm: correct its affine or its unit of length (xyzt_units)."
        )
    if abs(np.linalg.det(affine[:3, :3])) < 0.1 * spacing.prod():
        raise PolyscanError(f"{path.name} has axes that lie almost in one plane; set its sform or qform.")
    return affine, problems
