"""What every object that is made from a series begins with: its patient and study, and who made it."""

from __future__ import annotations

from datetime import datetime

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from polyscan import __version__
from polyscan.dicom.own import VENDOR
from polyscan.dicom.source_images import OF_STUDY, SourceImages
from polyscan.files.dicom import item


def derived_object(
    images: SourceImages,
    sop_class: str,
    uids: tuple[str, str],
    *,
    modality: str,
    series_number: int,
    description: str,
    implicit: bool = False,
) -> Dataset:
    """A data set of a new series in the study of another (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.7.5.1, C.12.1).

    Args:
        images: the series that it is made from.
        sop_class: SOPClassUID.
        uids: SeriesInstanceUID and SOPInstanceUID.
        modality: Modality.
        series_number: SeriesNumber.
        description: SeriesDescription.
        implicit: whether its value representations are left to the reader, so that texts may exceed 64 kB (PS3.5 7.1).
    """
    made, source, now = Dataset(), images.headers[0], datetime.now()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = UID(uids[1])
    if character_set := source.get("SpecificCharacterSet"):
        made.SpecificCharacterSet = character_set
    for name in OF_STUDY:
        setattr(made, name, source.get(name, ""))
    made.Modality, made.SeriesInstanceUID, made.SeriesNumber = modality, uids[0], series_number
    made.SeriesDescription, made.InstanceNumber = description[:64], 1
    made.Manufacturer = made.ManufacturerModelName = VENDOR
    made.SoftwareVersions, made.DeviceSerialNumber = __version__, "0"
    made.SeriesDate = made.ContentDate = now.strftime("%Y%m%d")
    made.SeriesTime = made.ContentTime = now.strftime("%H%M%S")
    return made


def references(images: SourceImages) -> list[Dataset]:
    """Every image of a series, for a sequence of references."""
    return [reference(header) for header in images.headers]


def reference(header: Dataset) -> Dataset:
    """One image."""
    return item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)
