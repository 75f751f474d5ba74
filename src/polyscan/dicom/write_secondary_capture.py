"""A volume that was computed of several series as a DICOM image that lies on one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from monai.data import MetaTensor

from polyscan import __version__
from polyscan.dicom.derived import derived_object
from polyscan.dicom.own import VENDOR
from polyscan.dicom.source_images import SourceImages
from polyscan.files.atomic import atomic_write
from polyscan.files.dicom import decimal, item, save_dicom
from polyscan.geometry import FLIP, spacing_of

_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture Image Storage


def write_secondary_capture(
    path: str | Path, volume: MetaTensor, images: SourceImages, uids: tuple[str, str], *, description: str
) -> None:
    """Write a multi-frame grey secondary capture (PS3.3 A.8.4) with its place in the patient, whole or not at all.

    Place and orientation of each frame are told in the functional groups (C.7.6.16), in the frame of reference of the
    series, so that viewers lay it over that.

    Args:
        path: the file to write.
        volume: (1, x, y, z) whole numbers from 0 to 65535 on the grid of the series.
        images: the series.
        uids: SeriesInstanceUID and SOPInstanceUID.
        description: SeriesDescription.

    Raises:
        PolyscanError: the volume lies elsewhere than the series.
    """
    images.frames(volume)  # on its grid
    frames = np.ascontiguousarray(volume[0].cpu().numpy().transpose(2, 1, 0)).astype("<u2")
    header, lps = images.headers[0], FLIP @ np.asarray(images.grid.affine, dtype=float)
    spacing = spacing_of(lps)
    made = derived_object(images, _SOP_CLASS, uids, modality="OT", series_number=1003, description=description)
    made.ConversionType, made.ImageType, made.BurnedInAnnotation = "WSD", ["DERIVED", "SECONDARY"], "NO"
    made.PatientOrientation, made.Laterality = "", ""
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = header.FrameOfReferenceUID, ""
    made.SecondaryCaptureDeviceManufacturer = VENDOR
    made.SecondaryCaptureDeviceSoftwareVersions = __version__
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
    made.NumberOfFrames, made.Rows, made.Columns = frames.shape
    made.FrameIncrementPointer = 0x52009230  # the functional groups of each frame
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = 0, 1, "US"
    made.PresentationLUTShape = "IDENTITY"
    measures = item(
        PixelSpacing=[decimal(spacing[1]), decimal(spacing[0])],
        SliceThickness=decimal(spacing[2]),
        SpacingBetweenSlices=decimal(spacing[2]),
    )
    axes = [decimal(x) for axis in (0, 1) for x in lps[:3, axis] / spacing[axis]]
    orientation = item(ImageOrientationPatient=axes)
    made.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    places = (item(ImagePositionPatient=[decimal(x) for x in lps[:3] @ [0, 0, z, 1]]) for z in range(len(frames)))
    made.PerFrameFunctionalGroupsSequence = [item(PlanePositionSequence=[place]) for place in places]
    made.PixelData = frames.tobytes()
    with atomic_write(path) as temporary:
        save_dicom(made, temporary)
