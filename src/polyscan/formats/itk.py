"""NRRD and MetaImage volumes, which SimpleITK reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.formats.volume import Volume
from polyscan.geometry import affine_of

if TYPE_CHECKING:
    import SimpleITK as sitk

# Those of NRRD's spaces that ITK brings to its own, left-posterior-superior.
_KNOWN_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")
_HEADER = 65_536  # bytes


def open_itk(path: str | Path, number: int | None = None) -> Volume:
    """Open one 3D volume of ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``; its values are read when they are asked for.

    Args:
        path: the file.
        number: must be None or 1: there are no volumes to choose from.

    Raises:
        PolyscanError: no readable file, or not one volume of numbers.
    """
    import SimpleITK as sitk

    path = Path(path)
    if not path.is_file():
        raise PolyscanError(f"{path.name} does not exist; name an existing file in the manifest.")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise PolyscanError(
            f"{path.name} cannot be read ({_said(path, error)}); write it again or leave it out."
        ) from error
    size = tuple(int(length) for length in reader.GetSize())
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    components = reader.GetNumberOfComponents()
    if components > 1:
        raise PolyscanError(f"{path.name} has {components} values a voxel, as colours or vectors have; leave it out.")
    if "complex" in sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()):
        raise PolyscanError(f"{path.name} holds complex numbers; export their magnitude.")
    if len(size) != 3 or 0 in size or number not in (None, 1):
        raise PolyscanError(f"{path.name} has shape {size}; expected one 3D volume: split it first.")

    def load() -> np.ndarray:
        try:
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is then said
                values = sitk.GetArrayFromImage(reader.Execute()).astype(np.float32)
        except RuntimeError as error:
            raise PolyscanError(f"{path.name} cannot be read ({_said(path, error)}); copy it again.") from error
        return values.reshape(values.shape[-3:]).transpose()

    return Volume(path, size, _affine(reader, len(size)), load, tuple(_assumed(path, reader)))


def _affine(reader: sitk.ImageFileReader, rank: int) -> np.ndarray:
    """(4, 4) to RAS+ millimetres of the first three of a reader's axes."""
    import SimpleITK as sitk

    dimension = reader.GetDimension()
    direction = np.array(reader.GetDirection()).reshape(dimension, dimension)[:rank, :rank]
    grid = sitk.Image([1] * rank, sitk.sitkUInt8)
    grid.SetSpacing(reader.GetSpacing()[:rank])
    grid.SetOrigin(reader.GetOrigin()[:rank])
    grid.SetDirection(direction.ravel().tolist())
    return affine_of(grid)


def _assumed(path: Path, reader: sitk.ImageFileReader) -> list[str]:
    """What a header leaves open of where the volume lies.

    Raises:
        PolyscanError: it says what ITK passes over.
    """
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return []
    fields = _nrrd_fields(path)
    units = {unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))} - {"", "mm"}
    if units:
        raise PolyscanError(f"{path.name} has space units {', '.join(sorted(units))}; write it again in millimetres.")
    if "none" in fields.get("space directions", ""):
        raise PolyscanError(f"{path.name} has an axis without a direction in space; write it again with all three.")
    space = fields.get("space", "")
    if space.lower() in _KNOWN_SPACES:
        return []
    told = "its header names another space than those of a patient" if space else "its header names no space"
    return [f"{told}, so that which side is left is not known: taken as left-posterior-superior"]


def _nrrd_fields(path: Path) -> dict[str, str]:
    """The fields of an NRRD header in small letters, as they are written; ITK tells some of them only."""
    with path.open("rb") as file:
        lines = file.read(_HEADER).partition(b"\n\n")[0].replace(b"\r", b"").decode("utf-8", "replace").splitlines()
    pairs = (line.lower().split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    return {name.strip(): told.strip() for name, told in pairs}


def _said(path: Path, error: RuntimeError) -> str:
    """The last line of what ITK says, without the folders that the file lies in, and the last error of the system."""
    lines = str(error).replace(str(path), path.name).strip().splitlines()
    lines = [line for line in lines if not line.startswith("Reason:")]  # whatever it was of
    return re.sub(r"^ITK ERROR: \w+\(0x\w+\): ", "", lines[-1].strip()) if lines else "no reason given"
