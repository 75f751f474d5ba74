"""NRRD and MetaImage volumes, which SimpleITK reads."""

from __future__ import annotations

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
    """What a header leaves open of where the volume lies."""
    if not path.name.lower().endswith((".nrrd", ".nhdr")):
        return []
    space = reader.GetMetaData("NRRD_space") if reader.HasMetaDataKey("NRRD_space") else ""
    if space.lower() in _KNOWN_SPACES:
        return []
    told = "its header names another space than those of a patient" if space else "its header names no space"
    return [f"{told}, so that which side is left is not known: taken as left-posterior-superior"]


def _said(path: Path, error: RuntimeError) -> str:
    """The last line of what ITK says, without the folders that the file lies in."""
    lines = str(error).replace(str(path), path.name).strip().splitlines()
    return lines[-1].strip() if lines else "no reason given"
