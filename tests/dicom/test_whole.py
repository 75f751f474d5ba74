"""Slices that are not here are said, as far as headers tell of them."""

import pydicom
import pytest

from polyscan.dicom.read import find_series, read_series
from polyscan.discovery.read_study import read_study
from polyscan.errors import PolyscanError
from polyscan.files.dicom import save_dicom


def own_series(k, ds):
    ds.SeriesInstanceUID = f"1.2.{k}"


@pytest.mark.parametrize(
    ("common", "said"),
    [
        ({"ImagesInAcquisition": 9}, "ImagesInAcquisition tells of 9 images and 5 are here: some may be missing"),
        ({"modality": "PT", "NumberOfSlices": 47}, "NumberOfSlices tells of 47 slices and 5 are here"),
        ({"change": lambda k, ds: setattr(ds, "InstanceNumber", k + 7)}, "InstanceNumber begins at 7: slices may be"),
        (
            {"change": lambda k, ds: setattr(ds, "InstanceNumber", k + 3 * (k > 2))},
            "InstanceNumber runs from 0 to 7 in 5",
        ),
        (
            {"SliceThickness": 1, "change": lambda k, ds: setattr(ds, "InstanceNumber", 3 * k)},
            "InstanceNumber runs from",
        ),
        ({"change": lambda k, ds: setattr(ds, "FrameOfReferenceUID", f"1.{k}")}, "FrameOfReferenceUID differs between"),
        (
            {"modality": "CT", "change": lambda k, ds: setattr(ds, "RescaleIntercept", -1024 * (k == 2))},
            "RescaleIntercept differs between slices",
        ),
        ({"change": own_series, "SeriesNumber": 4}, "each slice has a SeriesInstanceUID of its own"),
        ({"GantryDetectorTilt": -18}, "GantryDetectorTilt is -18 degrees, which positions and orientation"),
        ({"LossyImageCompression": "01"}, "the pixels were compressed with loss"),
        (
            {"change": lambda k, ds: setattr(ds, "ImageOrientationPatient", [1, 0.004 * (k % 2), 0, 0, 1, 0])},
            "ImageOrientationPatient differs between slices",
        ),
    ],
)
def test_what_may_be_missing_is_said(make_series, tmp_path, common, said):
    folder = make_series("ward/anna", CorrectedImage=["ATTN"], Units="GML", **common)
    (problem,) = read_series(folder).meta["problems"]
    assert problem.startswith(said)
    assert said in read_study(tmp_path / "ward").study.decisions[0].reason
    assert not read_series(sorted(folder.iterdir())).meta["problems"]  # files that somebody chose


@pytest.mark.parametrize(
    "common",
    [
        {"ImagesInAcquisition": 5},
        {"ImagesInAcquisition": 900, "ImageType": ["DERIVED", "SECONDARY"]},  # of what it was derived from
        {"change": lambda k, ds: setattr(ds, "InstanceNumber", k)},
        {"change": lambda k, ds: setattr(ds, "InstanceNumber", 3 * k + 5)},  # counts echoes too
        {"GantryDetectorTilt": 0.5, "LossyImageCompression": "00"},
    ],
)
def test_what_is_whole_is_not_doubted(make_series, common):
    assert not read_series(make_series(**common)).meta["problems"]


@pytest.mark.parametrize(("name", "values"), [("EchoTime", (10, 80)), ("InversionTime", (150, 2500))])
def test_slices_of_two_contrasts_at_their_own_positions_are_no_one_volume(make_series, name, values):
    def change(k, ds):
        setattr(ds, name, values[k // 4] + 0.01 * k)

    folder = make_series(slices=8, modality="MR", SeriesDescription="T1", change=change)
    assert [len(series.slices) for series in find_series(folder)] == [4, 4]


def test_times_that_differ_a_little_are_of_one_contrast(make_series):
    folder = make_series(
        modality="MR", SeriesDescription="T1", change=lambda k, ds: setattr(ds, "EchoTime", 10 + k / 5)
    )
    assert [len(series.slices) for series in find_series(folder)] == [5]


@pytest.mark.parametrize(
    ("kept", "slices"), [({"SeriesNumber": 4}, [5]), ({"SeriesDescription": "CT"}, [5]), ({}, [1] * 5)]
)
def test_files_with_a_series_each_are_put_together_where_its_number_or_name_was_kept(make_series, kept, slices):
    folder = make_series(change=own_series, **kept)
    assert [len(series.slices) for series in find_series(folder)] == slices
    assert len(find_series(make_series("few", slices=4, change=own_series, SeriesNumber=4))) == 4  # as of localizers


def test_voxels_of_no_scan_are_refused(make_series):
    (series,) = find_series(make_series(PixelSpacing=[0.002, 0.002]))
    assert "PixelSpacing or SliceThickness is absurd" in series.reason


def test_a_table_of_values_is_refused(make_series):
    from pydicom import Dataset

    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "HU"
    folder = make_series(ModalityLUTSequence=[table])
    with pytest.raises(PolyscanError, match=r"ModalityLUTSequence \(0028,3000\) says by a table"):
        read_series(folder)


def test_a_slope_below_zero_is_refused(make_series):
    with pytest.raises(PolyscanError, match="RescaleSlope is not above 0"):
        read_series(make_series(RescaleSlope=-1))


@pytest.mark.parametrize(
    ("common", "modality", "said"),
    [
        ({"SeriesType": ["STATIC", "REPROJECTION"], "CorrectedImage": ["ATTN"]}, None, "SeriesType says REPROJECTION"),
        ({"SeriesType": ["DYNAMIC", "IMAGE"], "CorrectedImage": ["ATTN"], "NumberOfTimeSlices": 30}, None, "one of 30"),
        (
            {"SeriesType": ["DYNAMIC", "IMAGE"], "CorrectedImage": ["ATTN"], "NumberOfTimeSlices": 1},
            "PET",
            "no other frame is there",
        ),
        ({"SeriesType": ["GATED", "IMAGE"], "CorrectedImage": ["ATTN"]}, "PET", "no other frame is there"),
        ({"AttenuationCorrectionMethod": "measured, CT"}, "PET", "AttenuationCorrectionMethod names one"),
        ({"AttenuationCorrectionMethod": "NONE"}, None, "without attenuation correction"),
        ({"AttenuationCorrectionMethod": "off"}, None, "without attenuation correction"),
        ({}, None, "nothing says that it was corrected"),
    ],
)
def test_which_pet_is_an_image(make_series, common, modality, said):
    (series,) = find_series(make_series(modality="PT", Units="GML", **common))
    assert series.modality == modality
    assert said in series.reason


def test_an_index_of_files_is_no_damaged_slice(make_series):
    folder = make_series()
    index = pydicom.dcmread(folder / "000.dcm")
    index.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    for name in ("SOPClassUID", "SOPInstanceUID", "PixelData"):
        del index[name]
    save_dicom(index, folder / "DICOMDIR")
    assert not read_series(folder).meta["problems"]
