"""DICOM series to images: true geometry, per-slice rescale, HU and SUV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.recognise import from_header
from polyscan.io.suv import suv_factor
from polyscan.io.volume import Stack, stack, straighten

if TYPE_CHECKING:
    from pydicom import Dataset

_THREADS = 8
_UNIT = {"CT": "HU", "PT": "SUVbw"}


@dataclass(frozen=True)
class Series:
    """One volume that a folder holds.

    Attributes:
        headers: of its slices, without pixels, from the lowest to the highest position along the normal.
        files: where they lie, in the same order.
        modality: its name, None where it cannot be used.
        reason: why it has this modality, or why it is left out.
        where: the geometry, None where it has none.
    """

    headers: list[Dataset]
    files: list[Path]
    modality: str | None
    reason: str
    where: Stack | None

    @property
    def voxel(self) -> float:
        """The volume of a voxel in cubic millimetres; infinite where there is no geometry."""
        return self.where.spacing[0] * self.where.spacing[1] * self.where.step if self.where else float("inf")

    @property
    def frame_of_reference(self) -> str | None:
        """The FrameOfReferenceUID."""
        return str(self.headers[0].get("FrameOfReferenceUID", "") or "") or None


def find_series(folder: str | Path) -> list[Series]:
    """Every DICOM image series under a folder, each with what it is or why it is left out. Pixels are not read.

    Raises:
        PolyscanError: the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PolyscanError(f"{folder} is no folder; give a folder of DICOM files.")
    return group(read_headers(path for path in sorted(folder.rglob("*")) if path.is_file()))


def read_headers(files: Iterable[Path]) -> list[tuple[Path, Dataset]]:
    """The headers of those files that are DICOM."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return [found for found in pool.map(_header, files) if found is not None]


def _header(path: Path) -> tuple[Path, Dataset] | None:
    import pydicom

    try:
        with path.open("rb") as file:
            marked = file.read(132)[128:] == b"DICM"
        if not marked and path.suffix.lower() != ".dcm":
            return None
        header = pydicom.dcmread(path, stop_before_pixels=True, force=not marked)
        return (path, header) if header.get("SOPClassUID") else None
    except Exception:  # a file that is no DICOM fails in many ways, and none of them matters here
        return None


def group(found: Sequence[tuple[Path, Dataset]]) -> list[Series]:
    """Sort images into volumes: one series, one size, one orientation, one echo, one time point each."""
    volumes: dict[tuple, list[tuple[Path, Dataset]]] = defaultdict(list)
    for path, header in found:
        if header.get("Rows"):
            volumes[_same_volume(header)].append((path, header))
    return [_series(members) for members in volumes.values()]


def _same_volume(header: Dataset) -> tuple:
    try:
        orientation = tuple(np.round(np.array(header.ImageOrientationPatient, dtype=float), 2) + 0.0)
    except (AttributeError, TypeError, ValueError):
        orientation = ()
    names = ("SeriesInstanceUID", "Rows", "Columns", "EchoTime", "TemporalPositionIdentifier", "DiffusionBValue")
    return (*(str(header.get(name, "")) for name in names), orientation)


def _series(members: list[tuple[Path, Dataset]]) -> Series:
    files, headers = [path for path, _ in members], [header for _, header in members]
    modality, reason = from_header(headers[0])
    try:
        where = _geometry(headers)
    except PolyscanError as error:
        return Series(headers, files, None, f"{reason}; {error}", None)
    if modality is not None and len(files) < 2:
        modality, reason = None, f"{reason}; one slice is no volume"
    return Series([headers[i] for i in where.order], [files[i] for i in where.order], modality, reason, where)


def _geometry(headers: Sequence[Dataset]) -> Stack:
    if any(int(header.get("NumberOfFrames", 1) or 1) > 1 for header in headers):
        raise PolyscanError("a multi-frame object, which is not read yet; convert it to single slices or NIfTI.")
    if "MOSAIC" in {str(value) for value in headers[0].get("ImageType", [])}:
        raise PolyscanError("a Siemens mosaic, which is not read yet; convert it to single slices or NIfTI.")
    try:
        origins = np.array([header.ImagePositionPatient for header in headers], dtype=float)
        orientation = np.array(headers[0].ImageOrientationPatient, dtype=float)
        between_rows, between_columns = (float(value) for value in headers[0].PixelSpacing)
        if origins.shape[1:] != (3,) or orientation.shape != (6,) or not np.isfinite(origins).all():
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise PolyscanError(
            "ImagePositionPatient, ImageOrientationPatient or PixelSpacing is missing or no number; export it again."
        ) from None
    thickness = float(headers[0].get("SliceThickness", 0) or 0) or 1.0
    return stack(origins, orientation, (between_columns, between_rows), thickness)


def read_series(folder_or_files: str | Path | Sequence[str | Path]) -> MetaTensor:
    """Read one DICOM series.

    Args:
        folder_or_files: a folder that holds one series that can be used, the files of a series, or one file.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres: HU for CT, SUV by body weight for PET, what the scanner
        stored, rescaled, else. NaN where CT padding says that nothing was measured. ``meta`` holds ``unit``,
        ``frame_of_reference`` and ``problems``, which tells what was repaired.

    Raises:
        PolyscanError: no series, several, or one that cannot be read; the text says which.
    """
    series = _one_series(folder_or_files)
    if series.where is None:
        raise PolyscanError(f"{_name(series.files[0])}: {series.reason}")
    with ThreadPoolExecutor(_THREADS) as pool:
        slices = list(pool.map(_pixels, series.files))
    values = np.stack(slices, axis=-1)
    dicom = str(series.headers[0].get("Modality", ""))
    if dicom == "PT":
        values *= np.float32(suv_factor(series.headers))
    problems = series.where.problems()
    if problems:
        values, affine = straighten(values, series.where)
    else:
        affine = series.where.affine()
    meta = {
        "unit": _UNIT.get(dicom, "arbitrary"),
        "frame_of_reference": series.frame_of_reference,
        "problems": problems,
    }
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values)[None]), affine=torch.from_numpy(affine), meta=meta)


def _one_series(source: str | Path | Sequence[str | Path]) -> Series:
    if isinstance(source, (str, Path)) and Path(source).is_dir():
        found = [series for series in find_series(source) if series.where is not None]
        usable = [series for series in found if series.modality is not None] or found
        if len(usable) != 1:
            number = f"{len(usable)} series that can be used" if usable else "no DICOM series that can be read"
            raise PolyscanError(
                f"{source} holds {number}; expected one: see them with polyscan scan, then name its files."
            )
        return usable[0]
    files = [Path(source)] if isinstance(source, (str, Path)) else [Path(file) for file in source]
    headers = read_headers(files)
    if len(headers) < len(files):
        bad = set(files) - {path for path, _ in headers}
        raise PolyscanError(f"{_name(min(bad))} cannot be read as DICOM; copy it again or leave the series out.")
    series = group(headers)
    if len(series) != 1:
        raise PolyscanError(f"{_name(files[0])} and the files beside it are {len(series)} volumes; expected one.")
    return series[0]


def _pixels(path: Path) -> np.ndarray:
    """One slice (x, y) float32, rescaled; padding of CT is NaN."""
    import pydicom

    try:
        data = pydicom.dcmread(path, force=True)
        stored = data.pixel_array
    except Exception as error:
        raise PolyscanError(
            f"{_name(path)} is corrupt: its pixels cannot be decoded ({type(error).__name__}); copy the file again."
        ) from error
    if stored.ndim != 2:
        raise PolyscanError(f"{_name(path)} has pixels of shape {stored.shape}; expected one grey slice.")
    slope, intercept = float(data.get("RescaleSlope", 1) or 1), float(data.get("RescaleIntercept", 0) or 0)
    values = stored.astype(np.float64) * slope + intercept
    padding = data.get("PixelPaddingValue")
    if padding is not None and data.get("Modality") == "CT":
        values[stored == int(padding)] = np.nan
    return values.T.astype(np.float32)


def _name(path: Path) -> str:
    """The last parts of a path: enough to find the file."""
    return "/".join(path.parts[-3:])
