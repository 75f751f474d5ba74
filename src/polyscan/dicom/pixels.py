"""Read the pixels of slices: each file once, straight from its place on disk where they are stored plainly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from polyscan.dicom.attributes import RESCALE_TYPES, is_hounsfield, items, number, term, text
from polyscan.dicom.slices import Slice
from polyscan.errors import PolyscanError
from polyscan.files.packed import open_binary

THREADS = 4
_PIXEL_DATA = 0x7FE00010
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")  # one of them: PS3.3 C.7.6.3, C.7.6.24, C.7.6.25
_PADDING = tuple(f"{name.removesuffix('PixelData')}PixelPadding" for name in _PIXELS)  # Value and RangeLimit of each
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")  # little endian, implicit and explicit


def read_pixels(slices: Sequence[Slice]) -> np.ndarray:
    """The values of slices as (x, y, slice) float32, each rescaled by its own slope and intercept.

    NaN where CT padding says that nothing was measured.

    Raises:
        PolyscanError: a file is corrupt, or its pixels are not what its header says.
    """
    rows, columns = int(slices[0].header.Rows), int(slices[0].header.Columns)
    volume = np.empty((len(slices), rows, columns), dtype=np.float32)
    of_file: dict[Path, list[int]] = defaultdict(list)
    for index, each in enumerate(slices):
        of_file[each.path].append(index)
    rescales = _rescales(slices)

    def read(members: list[int]) -> None:
        frames = stored_pixels(slices[members[0]])
        for index in members:
            each = slices[index]
            try:
                stored = frames[each.frame, each.tile[0] :, each.tile[1] :][:rows, :columns]
                _rescale(stored, each, rescales[index], volume[index])
            except (IndexError, ValueError):
                raise PolyscanError(
                    f"{name_of(each.path)} has pixels of shape {frames.shape}; expected grey slices of "
                    f"{rows} x {columns}."
                ) from None

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(read, of_file.values()))
    return volume.transpose(2, 1, 0)


def ct_unit(slices: Sequence[Slice]) -> tuple[str, list[str]]:
    """The unit of the values of a CT, and what had to be assumed: HU, or another RescaleType (PS3.3 C.11.1.1.2)."""
    others = (each.header for each in slices if not is_hounsfield(each.header))
    if other := {term(header, "RescaleType", RESCALE_TYPES) for header in others} - {"HU_MOD"}:
        return ", ".join(sorted(other)), []
    if all(number(each.header, "RescaleIntercept") is None for each in slices):
        return "HU", ["RescaleIntercept is missing: the stored values were taken as HU"]
    return "HU", []


def _rescales(slices: Sequence[Slice]) -> list[tuple[float, float]]:
    """Slope and intercept of every slice, which all give or none."""
    for name in ("RescaleSlope", "RescaleIntercept"):
        missing = sum(number(each.header, name) is None for each in slices)
        if missing not in (0, len(slices)):
            raise PolyscanError(f"{name} is missing in {missing} of {len(slices)} slices; export it again.")
    if any(_is_untold_activity(each.header) for each in slices):
        raise PolyscanError(
            "RescaleSlope is missing, without which stored values of PET are no activity; export it again."
        )
    if any(items(each.header, "ModalityLUTSequence") for each in slices):
        raise PolyscanError(
            "ModalityLUTSequence (0028,3000) says by a table what stored values mean, which is not read; export the "
            "series with RescaleSlope and RescaleIntercept."
        )
    found = [(number(s.header, "RescaleSlope"), number(s.header, "RescaleIntercept")) for s in slices]
    if any(slope is not None and slope <= 0 for slope, _ in found):
        raise PolyscanError(
            "RescaleSlope is not above 0, which leaves no image or turns bright into dark; export the series again."
        )
    return [(slope or 1.0, intercept or 0.0) for slope, intercept in found]


def _is_untold_activity(header: Dataset) -> bool:
    """Whether nothing brings the stored values of a PET to its unit."""
    names = ("RescaleSlope", "RealWorldValueSlope")
    return text(header, "Modality") == "PT" and all(number(header, name) is None for name in names)


def _rescale(stored: np.ndarray, each: Slice, rescale: tuple[float, float], out: np.ndarray) -> None:
    exact = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    slope, intercept = rescale
    out[...] = stored if slope == 1 else np.multiply(stored, slope, dtype=np.float64)
    if intercept:
        out += exact(intercept)
    if text(each.header, "Modality") == "CT":
        for name in _PADDING:
            value, limit = (number(each.header, f"{name}{part}") for part in ("Value", "RangeLimit"))
            if value is not None:
                ends = [_as_stored(end, stored.dtype, each.header) for end in (value, limit) if end is not None]
                out[(stored >= min(ends)) & (stored <= max(ends))] = np.nan


def _as_stored(padding: float, kind: np.dtype, header: Dataset) -> float:
    """A padding value as the pixels have it, where it was written without their sign or with one that they lack.

    Both are the same bits: 63536 of unsigned 16 bits is -2000 in two's complement.
    """
    if kind.kind == "f":
        return float(kind.type(padding))
    bits = int(number(header, "BitsStored") or number(header, "BitsAllocated") or 16)
    signed = bool(number(header, "PixelRepresentation"))
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if low <= padding <= high:
        return padding
    for width in (int(number(header, "BitsAllocated") or 16), bits):
        turned = padding - 2**width if padding > high else padding + 2**width
        if low <= turned <= high:
            return turned
    return padding


def stored_pixels(first: Slice) -> np.ndarray:
    """The (frame, row, column) pixels of a file as they are stored.

    Raises:
        PolyscanError: they cannot be decoded, or its header contradicts itself.
    """
    allocated, bits, high = (number(first.file, name) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    used = bits or allocated or 0
    if allocated not in (8, 16, 32, 64) or used > allocated or high not in (None, used - 1):
        raise PolyscanError(
            f"{name_of(first.path)} has BitsAllocated {allocated}, BitsStored {bits}, HighBit {high}, which do not go "
            "together; export it again."
        )
    try:
        plain = _plain(first)
        pixels = _decoded(first) if plain is None else plain
    except PolyscanError:
        raise
    except Exception as error:
        raise PolyscanError(
            f"{name_of(first.path)} is corrupt: its pixels cannot be decoded ({type(error).__name__}); "
            "copy the file again."
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels


def _decoded(first: Slice) -> np.ndarray:
    """The pixels by pydicom; those of a file that was read up to them are read now."""
    whole, pixels = first.file, pixels_in(first.file)
    if pixels is None:
        with open_binary(first.path) as file:
            whole = dcmread(file, force=True)
        whole.file_meta, pixels = first.file.file_meta, pixels_in(whole)
    if not pixels:
        raise PolyscanError(f"{name_of(first.path)} has a header and no pixels; export it again.")
    if not whole.file_meta.TransferSyntaxUID.is_encapsulated:
        _check_not_longer(first, len(pixels))
    return np.asarray(whole.pixel_array)


def pixels_in(whole: Dataset) -> bytes | None:
    """The bytes of the pixels of a file, whole or floating point numbers; None where it was read without them."""
    return next((whole[name].value for name in _PIXELS if name in whole), None)


def _check_not_longer(first: Slice, length: int) -> None:
    """Refuse pixels that rows and columns leave over: with a wrong number of either all lie in wrong places.

    Less than a row or a column may be padding.
    """
    file = first.file
    rows, columns, bits = int(file.Rows), int(file.Columns), int(file.BitsAllocated)
    samples, frames = number(file, "SamplesPerPixel") or 1, number(file, "NumberOfFrames") or 1
    expected = int(rows * columns * samples * frames) * bits // 8
    if length >= expected + max(2, min(rows, columns) * bits // 8):
        raise PolyscanError(
            f"{name_of(first.path)} has {length} bytes of pixels; expected {expected} of {rows} rows and {columns} "
            "columns: export it again."
        )


def _plain(first: Slice) -> np.ndarray | None:
    """The pixels of a file that stores whole bytes without compression; None for all others."""
    file = first.file
    elements: dict[Any, Any] = dict(file.items())
    raw: Any = elements.get(_PIXEL_DATA)  # as it stands in the file, not fetched from the disk
    syntax = str(getattr(file.file_meta, "TransferSyntaxUID", ""))
    bits, stored = number(file, "BitsAllocated"), number(file, "BitsStored")
    grey = (number(file, "SamplesPerPixel") or 1) == 1
    if getattr(raw, "value_tell", None) is None or raw.value is not None:
        return None
    if syntax not in _PLAIN or bits not in (8, 16) or stored != bits or not grey:
        return None
    _check_not_longer(first, raw.length)
    shape = (int(number(file, "NumberOfFrames") or 1), int(file.Rows), int(file.Columns))
    kind = f"<{'i' if number(file, 'PixelRepresentation') else 'u'}{int(bits) // 8}"
    pixels = np.fromfile(first.path, dtype=kind, count=int(np.prod(shape)), offset=raw.value_tell)
    if raw.length < pixels.itemsize * int(np.prod(shape)):
        raise ValueError("fewer pixels than the header says")
    return pixels.reshape(shape)


def name_of(path: Path) -> str:
    """The last parts of a path: enough to find the file."""
    return "/".join(path.parts[-3:])
