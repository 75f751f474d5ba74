"""PET as one object of many frames: enhanced, and converted from a classic series, give the SUV of the classic one."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from polyscan.dicom.read import find_series, read_series
from polyscan.files.dicom import save_dicom

PET = {
    "Units": "BQML",
    "DecayCorrection": "START",
    "PatientWeight": 70,
    "SeriesDate": "20200101",
    "SeriesTime": "100000",
    "AcquisitionDate": "20200101",
    "AcquisitionTime": "100000",
    "CorrectedImage": ["ATTN", "DECY", "SCAT"],
}


def tracer() -> Dataset:
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = 370e6, 6586.2
    item.RadiopharmaceuticalStartTime, item.RadiopharmaceuticalStartDateTime = "090000", "20200101090000"
    return item


@pytest.fixture
def classic(make_series):
    """Five slices, each with a slope of its own."""

    def change(k, ds):
        ds.RadiopharmaceuticalInformationSequence = [tracer()]
        ds.RescaleSlope = 100 + k
        ds.AccessionNumber, ds.StudyDate, ds.StudyTime, ds.StudyID = "", "20200101", "095900", "1"
        ds.PatientBirthDate, ds.PatientSex, ds.Manufacturer, ds.SeriesNumber = "", "", "x", 1
        ds.ContentDate, ds.ContentTime = "20200101", "100000"
        ds.ReferringPhysicianName, ds.LossyImageCompression = "", "00"

    return make_series("classic", modality="PT", change=change, **PET)


def test_converted_from_a_classic_series(classic, tmp_path):
    from highdicom.legacy import LegacyConvertedEnhancedPETImage

    images = [pydicom.dcmread(path) for path in sorted(classic.iterdir())]
    made = LegacyConvertedEnhancedPETImage(images, generate_uid(), 2, generate_uid(), 1)
    (tmp_path / "one").mkdir()
    made.save_as(tmp_path / "one" / "pet.dcm")
    (series,) = find_series(tmp_path / "one")
    assert series.modality == "PET", series.reason
    image, expected = read_series(tmp_path / "one"), read_series(classic)
    assert image.meta["unit"] == "SUVbw"
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-6)


def test_enhanced(classic, tmp_path):
    """As PS3.3 A.56 has it: units in codes, the decay in an attribute of its own, geometry and slope frame by frame."""
    images = [pydicom.dcmread(path) for path in sorted(classic.iterdir())]
    made = pydicom.dcmread(sorted(classic.iterdir())[0])
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope"):
        delattr(made, name)
    for name in ("RescaleIntercept", "Units", "DecayCorrection", "CorrectedImage", "ImageType"):
        delattr(made, name)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.130"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.ImageType, made.NumberOfFrames = ["ORIGINAL", "PRIMARY", "STATIC", "NONE"], len(images)
    made.AttenuationCorrected = made.DecayCorrected = "YES"
    made.DecayCorrectionDateTime = made.AcquisitionDateTime = "20200101100000"
    shared, spacing, orientation = Dataset(), Dataset(), Dataset()
    spacing.PixelSpacing, spacing.SliceThickness = [2, 2], 3
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [spacing], [orientation]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], []
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "Bq/ml", "UCUM", "Becquerels/milliliter"
    for image in images:
        frame, place, value, world = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = image.ImagePositionPatient
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = image.RescaleSlope, 0, "US"
        world.MeasurementUnitsCodeSequence = [unit]
        world.RealWorldValueSlope, world.RealWorldValueIntercept = float(image.RescaleSlope), 0.0
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [value]
        frame.RealWorldValueMappingSequence = [world]
        made.PerFrameFunctionalGroupsSequence.append(frame)
    made.PixelData = b"".join(image.PixelData for image in images)
    (tmp_path / "one").mkdir()
    save_dicom(made, tmp_path / "one" / "pet.dcm")
    image, expected = read_series(tmp_path / "one"), read_series(classic)
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-6)
