"""DICOM series to images: true geometry, per-slice rescale, HU and SUV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from polyscan.dicom.attributes import text
from polyscan.dicom.grouping import group
from polyscan.dicom.headers import read_files
from polyscan.dicom.pixels import ct_unit, name_of, read_pixels
from polyscan.dicom.series import Series
from polyscan.dicom.suv import override_attributes, suv_factors
from polyscan.dicom.volume import resample_to_regular_grid
from polyscan.errors import PolyscanError
from polyscan.files.numbered import numbered
from polyscan.files.walk import is_folder, walk
from polyscan.geometry import image_of

if TYPE_CHECKING:
    from monai.data import MetaTensor

_UNIT = {"PT": "SUVbw"}


def find_series(folder: str | Path) -> list[Series]:
    """Every DICOM image series under a folder, each with what it is or why it is left out.

    Pixels are read only where a header leaves open what it is: of slices that may be copies, and of one slice of an MR
    series that may hold negative values.

    Returns:
        The series: ``modality`` (None where it is left out), ``reason``, ``shape`` (x, y, z), ``affine`` (RAS+,
        millimetres), ``files`` and ``headers``; :func:`read_series` reads one.

    Raises:
        PolyscanError: the folder does not exist.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise PolyscanError(f"{folder} is no folder; give a folder of DICOM files.")
    files, left = walk(folder)
    headers, others = read_files(files)
    return group(headers, {**left, **others})


def read_series(
    source: str | Path | Sequence[str | Path] | Series, given: Mapping[str, Any] | None = None
) -> MetaTensor:
    """Read one DICOM series.

    Args:
        source: one of :func:`find_series`; or a folder that holds one series that can be used, one file, or the files
            of a series. Where a folder or a file holds several volumes, ``#2`` after its name takes the second of those
            that :func:`find_series` lists.
        given: attributes that PET headers lack, by keyword, as ``{"PatientWeight": 70}``.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres: HU for CT, SUV by body weight for PET, of
        others what the scanner stored, rescaled. NaN where CT padding says that nothing was measured. ``meta`` holds
        ``unit``, ``frame_of_reference``, ``problems``, which tells what was repaired or overruled, and, where slices
        were resampled, ``slices``: where they lay along z in voxels.

    Raises:
        PolyscanError: no series, several, or one that cannot be read; the text says which.
    """
    series = source if isinstance(source, Series) else one_series(source)
    if series.where is None:
        raise PolyscanError(f"{name_of(series.files[0])}: {series.reason}")
    values = read_pixels(series.slices)
    dicom = text(series.headers[0], "Modality")
    problems = series.where.problems()
    unit, notes = ct_unit(series.slices) if dicom == "CT" else (_UNIT.get(dicom, "arbitrary"), [])
    if dicom == "PT":
        if given:
            override_attributes(series.headers, given)
        factors, notes = suv_factors(series.headers)
        values *= factors.astype(np.float32)
    slices = {}
    if problems:
        values, affine = resample_to_regular_grid(values, series.where)
        depths = series.where.depths - series.where.depths[0]
        slices = {"slices": depths / np.linalg.norm(affine[:3, 2])}
    else:
        affine = series.where.affine()
    meta = {
        "unit": unit,
        "frame_of_reference": series.frame_of_reference,
        "problems": [*problems, *series.notes, *notes],
        **slices,
    }
    return image_of(values, affine, meta)


def one_series(source: str | Path | Sequence[str | Path]) -> Series:
    """The series that :func:`read_series` reads of a source, its pixels left on disk.

    Raises:
        PolyscanError: there is none, or several.
    """
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    if not sources:
        raise PolyscanError("No file was given; give those of one series, or the folder that holds it.")
    named = [numbered(each) for each in sources]
    paths, number = [path for path, _ in named], named[0][1]
    found = find_series(paths[0]) if is_folder(paths[0]) else _read_all(paths)
    name = str(paths[0]) if is_folder(paths[0]) else name_of(paths[0])
    if len(paths) > 1:
        name += " and the files beside it"
    if number is None:
        return _only(found, name)
    if not 1 <= number <= len(found):
        raise PolyscanError(f"{name}: holds {len(found)} volumes, and number {number} is none of them.")
    return found[number - 1]


def _read_all(files: Sequence[Path]) -> list[Series]:
    headers, bad = read_files(files)
    if bad:
        first = min(bad)
        raise PolyscanError(
            f"{name_of(first)} cannot be read as DICOM{': it ' + bad[first] if bad[first] else ''}; "
            "copy it again or leave the series out."
        )
    return group(headers)


def _only(found: list[Series], name: str) -> Series:
    """The one series that can be used; of none, the one that at least has a geometry, or the only one."""
    usable = [series for series in found if series.modality is not None]
    placed = [series for series in found if series.where is not None]
    best = usable or placed or found
    if len(best) != 1:
        number = f"{len(best)} volumes" if best else "no DICOM series"
        raise PolyscanError(
            f"{name} holds {number}; expected one: see them with polyscan scan, then name one as NAME#1."
        )
    return best[0]
