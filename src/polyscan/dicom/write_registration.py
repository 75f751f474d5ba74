"""Rigid transforms to a DICOM Spatial Registration object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import SpatialRegistrationStorage

from polyscan.dicom.attributes import text
from polyscan.dicom.derived import derived_object, references
from polyscan.dicom.source_images import SourceImages
from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.dicom import item, save_dicom


def write_registration(
    path: str | Path,
    fixed: SourceImages,
    moving: Mapping[str, tuple[SourceImages, np.ndarray]],
    uids: tuple[str, str],
    *,
    description: str,
) -> None:
    """Write a Spatial Registration (PS3.3 A.39.1), whole or not at all; its frame of reference is the fixed series'.

    Args:
        path: the file to write.
        fixed: the reference.
        moving: scan to its images and the (4, 4) rigid matrix from points of the scan to points of the reference, in
            LPS+ millimetres.
        uids: SeriesInstanceUID and SOPInstanceUID.
        description: SeriesDescription.

    Raises:
        PolyscanError: a series has no frame of reference.
    """
    _check_frames({"the reference": fixed, **{name: images for name, (images, _) in moving.items()}})
    out = derived_object(
        fixed, SpatialRegistrationStorage, uids, modality="REG", series_number=1002, description=description
    )
    for name in ("FrameOfReferenceUID", "PositionReferenceIndicator", "Laterality"):
        setattr(out, name, fixed.headers[0].get(name, ""))
    out.ContentLabel, out.ContentDescription, out.ContentCreatorName = "REGISTRATION", "Rigid registration", "polyscan"
    every = {"": (fixed, np.eye(4)), **moving}
    out.RegistrationSequence = [_registered(images, matrix) for images, matrix in every.values()]
    out.ReferencedSeriesSequence, out.StudiesContainingOtherReferencedInstancesSequence = [], []
    for images, _ in every.values():
        of, own = images.headers[0].StudyInstanceUID, images.headers[0].SeriesInstanceUID
        series = item(SeriesInstanceUID=own, ReferencedInstanceSequence=references(images))
        if of == out.StudyInstanceUID:
            out.ReferencedSeriesSequence.append(series)
        else:
            study = item(StudyInstanceUID=of, ReferencedSeriesSequence=[series])
            out.StudiesContainingOtherReferencedInstancesSequence.append(study)
    if not out.StudiesContainingOtherReferencedInstancesSequence:
        del out.StudiesContainingOtherReferencedInstancesSequence
    with atomic_write(path) as temporary:
        save_dicom(out, temporary)


def _check_frames(every: Mapping[str, SourceImages]) -> None:
    for name, images in every.items():
        if not text(images.headers[0], "FrameOfReferenceUID"):
            raise PolyscanError(f"The series of {name} has no FrameOfReferenceUID, which a registration is between.")


def _registered(images: SourceImages, matrix: np.ndarray) -> Dataset:
    transform = item(
        FrameOfReferenceTransformationMatrixType="RIGID",
        FrameOfReferenceTransformationMatrix=[float(f"{number:.9g}") for number in matrix.ravel()],
    )
    return item(
        FrameOfReferenceUID=images.headers[0].FrameOfReferenceUID,
        ReferencedImageSequence=references(images),
        MatrixRegistrationSequence=[item(MatrixSequence=[transform], RegistrationTypeCodeSequence=[])],
    )
