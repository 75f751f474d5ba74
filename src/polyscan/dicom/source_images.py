"""The images of a DICOM series that an object of its grid refers to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from monai.data import MetaTensor
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from polyscan import __version__
from polyscan.dicom.read import one_series
from polyscan.errors import PolyscanError
from polyscan.files.packed import open_binary
from polyscan.geometry import empty_image, same_grid
from polyscan.study import Source

# Type 2 of the modules that objects have in common with their images (PS3.3 C.7.1.1, C.7.2.1): they may be empty.
_MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
OF_STUDY = ("StudyInstanceUID", *_MAY_BE_EMPTY)
"""Whose an object is, and of which study."""
_NEEDED = {
    *OF_STUDY,
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "ImageType", "Modality"),
    *("IssuerOfPatientID", "PatientSpeciesDescription", "PatientSpeciesCodeSequence"),
}
_OF_PEOPLE = (0x0008, 0x0010, 0x0012, 0x0032, 0x0038, 0x0040)
"""Groups of attributes that tell who, where, when, by whom and why."""
_NAMESPACE = uuid.UUID("0f5a9d5c-5f0b-4a63-9d0e-3c1f1f0c7a11")


@dataclass(frozen=True)
class SourceImages:
    """A series of one image a slice, or one enhanced image.

    Attributes:
        headers: the images without pixels, in the order of ``slices``; of an enhanced one the only one.
        slices: for each frame of an object of the series which slice (z) of the grid it holds.
        grid: (1, x, y, z) zeros where the series lies.
    """

    headers: Sequence[Dataset]
    slices: list[int]
    grid: MetaTensor

    def frames(self, mask: MetaTensor) -> np.ndarray:
        """The (frame, row, column) pixels of a mask (1, x, y, z) on the grid of the series.

        Raises:
            PolyscanError: the mask lies elsewhere.
        """
        if not same_grid(mask, self.grid):
            raise PolyscanError(
                f"The mask of {'x'.join(map(str, mask.shape[1:]))} voxels lies elsewhere than the images of the series "
                f"({'x'.join(map(str, self.grid.shape[1:]))}); bring it to the grid of the series first."
            )
        return np.ascontiguousarray(mask[0].cpu().numpy().transpose(2, 1, 0)[self.slices])


def source_images(source: Source) -> SourceImages:
    """The images of a series.

    Args:
        source: a folder or the files of one series; ``#2`` behind a name takes the second volume of it.

    Raises:
        PolyscanError: it cannot be read, or an object cannot lie voxel for voxel on it: a mosaic, slices that are
            tilted or unevenly spaced, or an enhanced image that holds several volumes.
    """
    series = one_series(source)
    where, shape, affine = series.where, series.shape, series.affine
    if where is None or shape is None or affine is None or where.problems():
        reason = "; ".join(where.problems()) if where is not None else series.reason
        raise PolyscanError(
            f"A DICOM object needs a series of evenly spaced slices, which this is not ({reason}); take the NIfTI."
        )
    grid = empty_image(shape, affine)
    headers = []
    for path in series.files:
        with open_binary(path) as file:
            header = pydicom.dcmread(file, stop_before_pixels=True)
        _keep_needed(header)
        headers.append(header)
    frames = [each.frame for each in series.slices]
    if len(headers) == len(frames) and not any(frames):
        return SourceImages(headers, list(range(shape[2])), grid)
    tiled = any(each.tile != (0, 0) for each in series.slices)
    if len(headers) > 1 or tiled or sorted(frames) != list(range(int(headers[0].NumberOfFrames))):
        raise PolyscanError(
            "A DICOM object needs a series of one image a slice, or one enhanced image of one volume; this one holds "
            "a mosaic or several volumes; take the NIfTI."
        )
    return SourceImages(headers, [int(z) for z in np.argsort(frames)], grid)


def _keep_needed(header: Dataset) -> None:
    """Take out of a header what no object needs, since highdicom copies all that is told of the study."""
    for tag in list(header.keys()):
        if tag.group in _OF_PEOPLE and keyword_for_tag(tag) not in _NEEDED:
            del header[tag]
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, "")


def lasting_uid(*what: object) -> str:
    """A UID by what it stands for: the same for the same, another for anything else (PS3.5 B.2, UUID version 5)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(0).join(map(str, what))).int}"


def lasting_uids(name: str, images: SourceImages, *content: object) -> tuple[str, str]:
    """SeriesInstanceUID and SOPInstanceUID of an object of a series: the same for the same content and version."""
    what = (name, str(images.headers[0].SeriesInstanceUID), *content, __version__)
    return lasting_uid("series", *what), lasting_uid(*what)


def require_highdicom() -> None:
    """Check that DICOM objects can be written.

    Raises:
        PolyscanError: highdicom is not installed.
    """
    from importlib.util import find_spec

    if find_spec("highdicom") is None:
        raise PolyscanError("highdicom, which writes DICOM objects, is not installed: pip install 'polyscan[dicom]'.")
