"""Rigid transforms to a DICOM Spatial Registration object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polyscan.dicom.attributes import text
from polyscan.dicom.source_images import SourceImages
from polyscan.dicom.write_segmentation import VENDOR
from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.dicom import save_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

_FROM_SOURCE = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("ReferringPhysicianName", "StudyID", "AccessionNumber", "SpecificCharacterSet", "PositionReferenceIndicator"),
    "Laterality",
)


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
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SpatialRegistrationStorage

    _check_frames({"the reference": fixed, **{name: images for name, (images, _) in moving.items()}})
    out, source = Dataset(), fixed.headers[0]
    for name in _FROM_SOURCE:
        setattr(out, name, source.get(name, ""))
    if not out.SpecificCharacterSet:
        del out.SpecificCharacterSet
    now = datetime.now()
    out.SOPClassUID, out.SOPInstanceUID = SpatialRegistrationStorage, UID(uids[1])
    out.Modality, out.SeriesInstanceUID, out.SeriesNumber, out.InstanceNumber = "REG", uids[0], 1002, 1
    out.SeriesDescription, out.FrameOfReferenceUID = description[:64], source.FrameOfReferenceUID
    out.Manufacturer, out.ManufacturerModelName = VENDOR, VENDOR
    out.SoftwareVersions, out.DeviceSerialNumber = version("polyscan"), "0"
    out.SeriesDate = out.ContentDate = now.strftime("%Y%m%d")
    out.SeriesTime = out.ContentTime = now.strftime("%H%M%S")
    out.ContentLabel, out.ContentDescription, out.ContentCreatorName = "REGISTRATION", "Rigid registration", "polyscan"
    every = {"": (fixed, np.eye(4)), **moving}
    out.RegistrationSequence = [_registered(images, matrix) for images, matrix in every.values()]
    out.ReferencedSeriesSequence, out.StudiesContainingOtherReferencedInstancesSequence = [], []
    for images, _ in every.values():
        series = Dataset()
        series.SeriesInstanceUID = images.headers[0].SeriesInstanceUID
        series.ReferencedInstanceSequence = _references(images)
        if images.headers[0].StudyInstanceUID == out.StudyInstanceUID:
            out.ReferencedSeriesSequence.append(series)
        else:
            study = Dataset()
            study.StudyInstanceUID = images.headers[0].StudyInstanceUID
            study.ReferencedSeriesSequence = [series]
            out.StudiesContainingOtherReferencedInstancesSequence.append(study)
    if not out.StudiesContainingOtherReferencedInstancesSequence:
        del out.StudiesContainingOtherReferencedInstancesSequence
    out.file_meta = FileMetaDataset()
    out.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out.file_meta.MediaStorageSOPClassUID = SpatialRegistrationStorage
    out.file_meta.MediaStorageSOPInstanceUID = UID(uids[1])
    with atomic_write(path) as temporary:
        save_dicom(out, temporary)


def _check_frames(every: Mapping[str, SourceImages]) -> None:
    for name, images in every.items():
        if not text(images.headers[0], "FrameOfReferenceUID"):
            raise PolyscanError(f"The series of {name} has no FrameOfReferenceUID, which a registration is between.")


def _registered(images: SourceImages, matrix: np.ndarray) -> Dataset:
    from pydicom.dataset import Dataset

    item, each, transform = Dataset(), Dataset(), Dataset()
    transform.FrameOfReferenceTransformationMatrixType = "RIGID"
    transform.FrameOfReferenceTransformationMatrix = [float(f"{number:.9g}") for number in matrix.ravel()]
    each.MatrixSequence = [transform]
    each.RegistrationTypeCodeSequence = []
    item.FrameOfReferenceUID = images.headers[0].FrameOfReferenceUID
    item.ReferencedImageSequence = _references(images)
    item.MatrixRegistrationSequence = [each]
    return item


def _references(images: SourceImages) -> list[Dataset]:
    from pydicom.dataset import Dataset

    found = []
    for header in images.headers:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        found.append(item)
    return found
