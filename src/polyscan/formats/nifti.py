"""NIfTI in and out, and what else nibabel reads: Analyze pairs and FreeSurfer's volumes."""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.numbered import numbered
from polyscan.files.packed import not_fetched
from polyscan.formats.endings import ending_of, stem_of
from polyscan.formats.nifti_header import place_of, scale_of, stored_header
from polyscan.formats.volume import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

try:
    from isal.igzip import IGzipFile as GzipFile
except ImportError:  # a machine for which there is no isal: the same file, a few times slower
    from gzip import GzipFile  # type: ignore[assignment]

_BEGINS = {size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big")}  # of a NIfTI header

_OTHER_FILES = {
    b"bzh": "compressed by bzip2", b"\xfd7zxz": "compressed by xz", b"\x28\xb5\x2f\xfd": "compressed by zstandard",
    b"pk\x03\x04": "a zip archive", b"<!doctype": "a web page", b"<html": "a web page", b"<?xml": "a text of XML",
}  # fmt: skip


def read_nifti(path: str | Path, name: str | None = None, given: Mapping[str, Any] | None = None) -> MetaTensor:
    """Read a 3D image as :meth:`polyscan.formats.volume.Volume.read` does.

    Args:
        path: a ``.nii`` or ``.nii.gz`` file; ``#2`` behind its name takes the second of several volumes.
        name: its modality, which tells the unit; None for masks and images that are prepared already.
        given: attributes that the sidecar of a PET lacks, by DICOM keyword, as ``{"PatientWeight": 70}``.

    Returns:
        (1, x, y, z) float32 with a RAS+ affine in millimetres.

    Raises:
        PolyscanError: no readable NIfTI file, not one 3D volume of numbers, or no usable affine.
    """
    return open_nifti(*numbered(path)).read(name, given)


def open_nifti(path: str | Path, number: int | None = None) -> Volume:
    """Open one 3D volume of real numbers; its values are read when they are asked for.

    Args:
        path: a file that nibabel reads.
        number: which of its volumes, from 1, where it holds several.

    Raises:
        PolyscanError: no readable file, not one volume of numbers, or no usable affine.
    """
    path = Path(path)
    if path.is_dir():
        raise PolyscanError(
            f"{path.name} is a folder, as of DICOM, where a NIfTI file is needed; run polyscan prepare."
        )
    try:
        with np.errstate(invalid="ignore"):  # of an affine that is no number, which is refused below
            file: Any = nibabel.load(path)
        kind, shape = file.header.get_data_dtype(), tuple(int(size) for size in file.shape)
    except PermissionError:
        raise
    except Exception as error:
        if not path.is_file():
            raise PolyscanError(f"{path.name} does not exist; name an existing file in the manifest.") from None
        said = _of_stream(path) or _said(path, error)
        reason = _misnamed(path) or f"cannot be read ({said}); write it again or leave it out"
        raise PolyscanError(f"{path.name} {reason}.") from error
    shape = _shape_of_volume(path.name, kind, shape, number)
    _check_whole(path, file, kind.itemsize)
    stored = stored_header(file)
    affine, problems = place_of(path, file, stored)
    problems += scale_of(path, stored)

    def load() -> np.ndarray:
        try:
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is then said
                stored_values = _checked(file)
                chosen = stored_values[..., (number or 1) - 1] if len(shape) == 4 else stored_values
                values = np.array(chosen, dtype=np.float32)
        except Exception as error:
            said = _of_stream(Path(file.file_map["image"].filename)) or _said(path, error)
            raise PolyscanError(f"{path.name} cannot be read ({said}); write it again or leave it out.") from error
        return values.reshape(values.shape[:3])

    return Volume(path, shape[:3], affine, load, tuple(problems))


def _shape_of_volume(name: str, kind: np.dtype, shape: tuple[int, ...], number: int | None) -> tuple[int, ...]:
    """The shape of a file without axes of length 1 behind the third; refuses what is not one volume of real numbers."""
    if kind.names:
        raise PolyscanError(f"{name} is a colour image ({len(kind.names)} values a voxel); leave it out.")
    if kind.kind == "c":
        raise PolyscanError(f"{name} holds complex numbers; export their magnitude.")
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 4 and number is None:
        raise PolyscanError(
            f"{name} holds {shape[3]} volumes; name the one that is meant, such as {name}#1, or split it."
        )
    if len(shape) not in (3, 4) or 0 in shape:
        raise PolyscanError(f"{name} has shape {shape}; expected one 3D volume: split it first.")
    volumes = shape[3] if len(shape) == 4 else 1
    if number is not None and not 1 <= number <= volumes:
        raise PolyscanError(f"{name} holds {volumes} volumes, and number {number} is none of them.")
    return shape


def _checked(file: Any) -> Any:
    """The values of a file; of a compressed one after its checksum, which stands behind them, was compared."""
    stored, values = Path(file.file_map["image"].filename), file.dataobj
    if stored.suffix.lower() not in (".gz", ".mgz"):
        return values
    with stored.open("rb") as packed, GzipFile(fileobj=packed) as content:
        held = io.BytesIO(content.read())
    return type(values)(held, (values.shape, values.dtype, values.offset, values.slope, values.inter))


def _check_whole(path: Path, file: Any, bytes_each: int) -> None:
    """Refuse a file that ends before its last voxel, or goes on behind it: then a dimension or the type is wrong.

    That a compressed file ends early is found out when it is read.
    """
    stored = Path(file.file_map["image"].filename)
    if not hasattr(file.dataobj, "offset"):
        return
    offset, voxels, size = int(file.dataobj.offset), bytes_each * math.prod(file.shape), stored.stat().st_size
    needed, compressed = offset + voxels, stored.suffix.lower() in (".gz", ".mgz", ".bz2", ".zst")
    if not compressed and size < needed:
        raise PolyscanError(f"{path.name} ends early: it has {size} bytes and needs {needed}; copy it again.")
    if not isinstance(file.header, nibabel.AnalyzeHeader):
        return  # other formats have more behind their voxels
    first = getattr(file.header, "single_vox_offset", 0) if getattr(file.header, "is_single", False) else 0
    if offset < first:
        raise PolyscanError(
            f"{path.name} has vox_offset {offset}, which lies within its header of {first} bytes; write it again."
        )
    longer = needed + voxels // max(file.shape)  # less than a plane may be padding
    goes_on = size >= longer
    if compressed:
        goes_on = stored.suffix.lower() == ".gz" and _says_longer(stored, longer) and _is_longer(stored, longer)
    if goes_on:
        raise PolyscanError(
            f"{path.name} goes on behind the {needed} bytes that its header tells of: with a wrong dimension or type "
            "all values lie in wrong places; write it again."
        )


def _says_longer(path: Path, size: int) -> bool:
    """Whether the end of a gzip file tells of more content; of one that was cut off it tells anything (RFC 1952)."""
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little") >= size


def _is_longer(path: Path, size: int) -> bool:
    try:
        with path.open("rb") as file, GzipFile(fileobj=file) as content:
            while size > 0 and (block := content.read(min(size, 2**24))):
                size -= len(block)
    except (OSError, EOFError, zlib.error):
        return False
    return size <= 0


def _misnamed(path: Path) -> str:
    """What a file is instead of what its name says, and what to do; empty where that is not known."""
    with path.open("rb") as file:
        start = file.read(64)
    if not_fetched(start):
        return "is a pointer of Git LFS or git-annex: its data were not fetched; fetch them"
    ending = ending_of(path.name)
    if ending not in (ending.lower(), ending.upper()):
        return f"has an ending in capital and small letters; call it {stem_of(path.name)}{ending.lower()}"
    packed, said = start[:2] == b"\x1f\x8b", ending.lower().endswith("gz")
    if packed and not said:
        return "is compressed, unlike its name says; add .gz to it"
    if said and start[:4] in _BEGINS:
        return "is not compressed, unlike its name says; take .gz away"
    if other := next((other for begin, other in _OTHER_FILES.items() if start.lower().startswith(begin)), ""):
        return f"is {other}, unlike its name says; unpack it, or fetch the scan again"
    return _inside(path) if packed else ""


def _inside(path: Path) -> str:
    """What a gzip file holds in place of a volume, and what to do; empty where that is not known."""
    try:
        with GzipFile(path) as content:
            start = content.read(512)
    except (OSError, EOFError, zlib.error):
        return ""
    if start[:2] == b"\x1f\x8b":
        return "is compressed twice; unpack it once"
    return "is a tar archive, unlike its name says; unpack it" if start[257:262] == b"ustar" else ""


def _of_stream(path: Path) -> str:
    """What is wrong with the ends of a compressed stream; empty where nothing is, or where it is not compressed."""
    left = path.read_bytes() if ending_of(path.name).lower().endswith("gz") else b""
    if left[:2] != b"\x1f\x8b":
        return ""
    while left[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        try:
            member.decompress(left)
        except zlib.error:
            return ""
        if not member.eof:
            return "its compressed content ends early"
        left = member.unused_data
    behind = len(left.strip(b"\0"))  # zeros may follow
    return f"{behind} bytes that are not compressed lie behind its content" if behind else ""


def _said(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in the library's words without the folders that it lies in."""
    lines = str(error).replace(str(path), path.name).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def sidecar_of(image: str | Path) -> str:
    """The JSON file beside a NIfTI."""
    return str(image).removesuffix(".nii.gz") + ".json"


def write_nifti(path: str | Path, image: MetaTensor) -> None:
    """Write a (1, x, y, z) image with its affine, in the type that it has, whole or not at all.

    Of several channels (channel, x, y, z) the file holds (x, y, z, channel).
    ``.nii.gz`` is compressed at level 1: higher ones hardly make noise smaller and take several times as long.
    """
    values = image[0].cpu().numpy() if len(image) == 1 else np.moveaxis(image.cpu().numpy(), 0, -1)
    file = nibabel.Nifti1Image(values, np.asarray(image.affine, dtype=float))
    file.header.set_xyzt_units("mm")
    with atomic_write(path) as temporary, temporary.open("wb") as plain:
        if temporary.suffix == ".gz":
            with GzipFile("", "wb", 1, plain, mtime=0) as compressed:
                file.to_stream(compressed)
        else:
            file.to_stream(plain)
