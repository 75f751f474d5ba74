"""Phantom scans as files: NIfTI with BIDS sidecars, or DICOM series that a validator accepts."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from polyscan.files.atomic import write_json
from polyscan.files.dicom import decimal, item, save_dicom
from polyscan.geometry import FLIP, spacing_of
from polyscan.modality import modality
from polyscan.phantom.scanner import PARAMETRIC, Scan

if TYPE_CHECKING:
    from polyscan.phantom.subject import Subject

_START = datetime(2020, 1, 1, 10, 0, 0)
_ROOT = "2.25"
_SOP_CLASS = {"MR": MRImageStorage, "CT": CTImageStorage, "PT": PositronEmissionTomographyImageStorage}
_PLACE = {"CT": "ct", "PET": "pet", "ADC": "dwi", "CBF": "perf"}


def write_nifti_scan(scan: Scan, folder: Path, subject: str) -> None:
    """Write a scan where BIDS expects it, with a sidecar; PET in Bq/mL with what SUV needs."""
    kind = modality(scan.modality)
    place = folder / _PLACE.get(scan.modality, "anat")
    place.mkdir(parents=True, exist_ok=True)
    stem = f"{subject}_{kind.suffix}"
    integral = scan.modality != "PET"
    values = np.rint(scan.values).astype(np.int16) if integral else scan.values
    write_nifti_values(place / f"{stem}.nii.gz", values, scan.grid.affine)
    write_json(place / f"{stem}.json", _sidecar(scan))


def write_nifti_values(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    """Write an array with its affine."""
    file = nibabel.Nifti1Image(values, affine)
    file.header.set_xyzt_units("mm")
    nibabel.save(file, path)


def write_pose(path: Path, pose: np.ndarray) -> None:
    """Write a rigid (4, 4) matrix between RAS+ points as an ITK transform between LPS+ points."""
    lps = FLIP @ pose @ FLIP
    transform = sitk.Euler3DTransform()
    transform.SetMatrix(lps[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation(lps[:3, 3].tolist())
    sitk.WriteTransform(transform, str(path))


def _sidecar(scan: Scan) -> dict[str, Any]:
    if scan.modality != "PET":
        return {"Modality": modality(scan.modality).dicom, **scan.settings}
    uptake = scan.settings["uptake_seconds"]
    return {
        "Modality": "PT",
        "Units": "Bq/mL",
        "TracerName": "FDG",
        "TracerRadionuclide": "F18",
        "InjectedRadioactivity": scan.settings["RadionuclideTotalDose"] / 1e6,
        "InjectedRadioactivityUnits": "MBq",
        "BodyWeight": scan.settings["PatientWeight"],
        "TimeZero": f"{_START:%H:%M:%S}",
        "InjectionStart": -uptake,
        "ScanStart": 0,
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": 0,
    }


def write_dicom(scan: Scan, folder: Path, subject: Subject) -> None:
    """Write a series, one file a slice, the patient's name being the made-up subject's number."""
    folder.mkdir(parents=True, exist_ok=True)
    lps = FLIP @ scan.grid.affine
    values = scan.values
    if np.linalg.det(lps[:3, :3]) < 0:  # DICOM's slices follow their normal, row x column
        values, last = values[:, :, ::-1], values.shape[2] - 1
        lps = lps @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, last], [0, 0, 0, 1.0]])
    for z in range(values.shape[2]):
        data = _common(scan, subject, lps, z)
        _pixels(data, values[:, :, z].T, modality(scan.modality).dicom)
        save_dicom(data, folder / f"{z + 1:04d}.dcm")


def _common(scan: Scan, subject: Subject, lps: np.ndarray, z: int) -> Dataset:
    """Everything but the pixels of one slice."""
    kind, spacing = modality(scan.modality).dicom, spacing_of(lps)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = _SOP_CLASS[kind]
    data.SOPInstanceUID = _uid(subject, scan.modality, z + 1)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.StudyInstanceUID = _uid(subject, "study", 0)
    data.SeriesInstanceUID = _uid(subject, scan.modality, 0)
    # Each scan has a frame of its own: the patient lay somewhere else.
    data.FrameOfReferenceUID = _uid(subject, f"{scan.modality} frame", 0)
    data.PositionReferenceIndicator = ""
    data.PatientName, data.PatientID = f"Phantom^{subject.number}", f"PHANTOM-{subject.seed}-{subject.number:03d}"
    data.PatientBirthDate, data.PatientSex = "", subject.sex
    data.PatientAge = f"{subject.age:03d}Y"
    day = _START + timedelta(days=subject.day)
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = f"{day:%Y%m%d}"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = f"{_START:%H%M%S}"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName = "1", "", ""
    data.Manufacturer, data.Modality = "polyscan", kind
    data.SeriesNumber, data.InstanceNumber = 1, z + 1
    data.SeriesDescription, data.BodyPartExamined = scan.modality, "HEAD"
    data.ImageType = (
        ["ORIGINAL", "PRIMARY", "AXIAL" if kind == "CT" else "OTHER"] if kind != "PT" else ["ORIGINAL", "PRIMARY"]
    )
    if scan.modality in PARAMETRIC:
        data.ImageType = ["DERIVED", "PRIMARY", scan.modality]
    data.PixelSpacing = [decimal(spacing[1]), decimal(spacing[0])]
    data.SliceThickness = decimal(spacing[2])
    data.ImageOrientationPatient = [decimal(v) for c in (0, 1) for v in lps[:3, c] / spacing[c]]
    data.ImagePositionPatient = [decimal(v) for v in (lps @ [0, 0, z, 1])[:3]]
    {"MR": _mr, "CT": _ct, "PT": _pet}[kind](data, scan, day)
    return data


def _mr(data: Dataset, scan: Scan, day: datetime) -> None:
    data.PatientPosition = "HFS"
    data.ScanningSequence, data.SequenceVariant = (
        scan.settings["ScanningSequence"],
        "SP" if scan.settings["ScanningSequence"] == "GR" else "NONE",
    )
    data.ScanOptions, data.MRAcquisitionType = "", "3D" if scan.settings["ScanningSequence"] == "GR" else "2D"
    data.EchoTrainLength, data.MagneticFieldStrength = 1, 1.5
    for name in ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "ContrastBolusAgent"):
        if name in scan.settings:
            setattr(data, name, scan.settings[name])


def _ct(data: Dataset, scan: Scan, day: datetime) -> None:
    data.PatientPosition = "HFS"
    data.KVP, data.AcquisitionNumber = scan.settings["KVP"], 1
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -1024, 1, "HU"


def _pet(data: Dataset, scan: Scan, day: datetime) -> None:
    injected = day - timedelta(seconds=scan.settings["uptake_seconds"])
    tracer = item(
        Radiopharmaceutical="FDG",
        RadiopharmaceuticalVolume=10,
        RadiopharmaceuticalStartTime=f"{injected:%H%M%S}",
        RadiopharmaceuticalStartDateTime=f"{injected:%Y%m%d%H%M%S}",
        RadionuclideTotalDose=scan.settings["RadionuclideTotalDose"],
        RadionuclideHalfLife=scan.settings["RadionuclideHalfLife"],
        RadionuclidePositronFraction=0.9673,
        RadionuclideCodeSequence=[_code("77004003", "SCT", "^18^Fluorine")],
        RadiopharmaceuticalCodeSequence=[_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")],
    )
    data.RadiopharmaceuticalInformationSequence = [tracer]
    data.PatientWeight = scan.settings["PatientWeight"]
    data.Units, data.CountsSource, data.DecayCorrection = "BQML", "EMISSION", "START"
    data.CorrectedImage, data.SeriesType = ["DECY", "ATTN"], ["STATIC", "IMAGE"]
    data.CollimatorType, data.RandomsCorrectionMethod, data.DecayFactor = "NONE", "NONE", 1
    data.NumberOfSlices, data.ImageIndex = scan.values.shape[2], data.InstanceNumber
    data.FrameReferenceTime, data.ActualFrameDuration = 0, 600_000
    # With the orientation told by codes, PatientPosition must not stand beside it.
    data.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
    data.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [_code("40199007", "SCT", "supine")]
    data.PatientGantryRelationshipCodeSequence = [_code("102540008", "SCT", "headfirst")]


def _pixels(data: Dataset, values: np.ndarray, kind: str) -> None:
    """Store one slice (row, column): MR as it is, CT from -1024, PET scaled to the slice's own highest value."""
    if kind == "PT":
        slope = float(decimal(max(float(values.max()), 1e-3) / 32767))
        data.RescaleIntercept, data.RescaleSlope = 0, decimal(slope)
        values = values / slope
    elif kind == "CT":
        values = values + 1024
    stored = np.clip(np.rint(values), 0, 32767).astype(np.int16 if kind == "PT" else np.uint16)
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = int(kind == "PT")
    data.PixelData = stored.astype("<i2" if kind == "PT" else "<u2").tobytes()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _uid(subject: Subject, what: str, number: int) -> str:
    """A UID that is the same for the same seed."""
    visit = f" visit {subject.visit}" if subject.visit > 1 else ""
    name = f"polyscan {subject.seed} {subject.number} {what} {number}{visit}"
    return f"{_ROOT}.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"
