"""Mosaics and enhanced objects against the images that another converter made of them."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError


def assert_same(image, reference, time=None):
    values = reference.get_fdata() if time is None else reference.get_fdata()[..., time]
    mine = nibabel.as_closest_canonical(nibabel.Nifti1Image(image[0].numpy(), np.asarray(image.affine)))
    theirs = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, reference.affine))
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(mine.get_fdata(), theirs.get_fdata(), atol=1e-5)


def test_a_mosaic_of_united_imaging(make_series):
    tiles = np.arange(4 * 3 * 2).reshape(4, 3, 2)  # slice, row, column

    def mosaic(k, ds):
        block = ds.private_block(0x0065, "Image Private Header", create=True)
        own = [Dataset() for _ in tiles]
        for z, each in enumerate(own):
            each.ImagePositionPatient = [-10, -20, 3 * z]
        block.add_new(0x51, "SQ", own)
        ds.ImageType, ds.Rows, ds.Columns = ["ORIGINAL", "PRIMARY", "M", "VFRAME"], 6, 4
        ds.PixelData = np.block([[tiles[0], tiles[1]], [tiles[2], tiles[3]]]).astype("<u2").tobytes()

    (path,) = make_series(slices=1, modality="MR", change=mosaic).iterdir()
    image = read_series(path)
    np.testing.assert_array_equal(image[0].numpy(), tiles.transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine[:3, 3], [10, 20, 0])
    bare = pydicom.dcmread(path)
    bare.remove_private_tags()
    bare.save_as(path)
    with pytest.raises(PolyscanError, match="mosaic of United Imaging whose private header"):
        read_series(path)


@pytest.mark.parametrize(("folder", "name"), [("axasc35", "ax_asc_35sl_6"), ("corasc35", "cor_asc_35sl_16")])
def test_mosaic(data, folder, name):
    case = data / "dicom_cases" / "siemens_mosaic"
    reference = nibabel.load(case / "Ref" / f"{name}.nii")
    for time, path in enumerate(sorted((case / "In" / folder).iterdir())):
        assert_same(read_series(path), reference, time)


def test_mosaic_without_its_private_header_is_refused(data, tmp_path):
    mosaic = pydicom.dcmread(next((data / "dicom_cases" / "siemens_mosaic" / "In" / "axasc35").iterdir()))
    mosaic.remove_private_tags()
    mosaic.save_as(tmp_path / "mosaic.dcm")
    with pytest.raises(PolyscanError, match="mosaic whose private header"):
        read_series(tmp_path / "mosaic.dcm")


@pytest.mark.parametrize("change", [{"Rows": 383}, {"Columns": 380}])
def test_a_mosaic_that_cannot_hold_its_slices_is_refused(data, tmp_path, change):
    mosaic = pydicom.dcmread(next((data / "dicom_cases" / "siemens_mosaic" / "In" / "axasc35").iterdir()))
    mosaic.update(change)
    mosaic.save_as(tmp_path / "mosaic.dcm")
    with pytest.raises(PolyscanError, match="cannot hold the 35 slices"):
        read_series(tmp_path / "mosaic.dcm")


def test_a_compressed_mosaic(data, tmp_path):
    path = next((data / "dicom_cases" / "siemens_mosaic" / "In" / "axasc35").iterdir())
    mosaic = pydicom.dcmread(path)
    mosaic.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    mosaic.save_as(tmp_path / "mosaic.dcm")
    np.testing.assert_array_equal(read_series(tmp_path / "mosaic.dcm").numpy(), read_series(path).numpy())


@pytest.mark.parametrize("time", range(4))
def test_enhanced_multi_frame(data, time):
    case = data / "dicom_cases" / "enhanced_multiframe"
    reference = nibabel.load(case / "Ref" / "Siemens_REST1_w_SMS_PF7-8_6.nii")
    assert_same(read_series(case / "In" / "Siemens" / "XA10" / f"6_{time + 1}.dcm"), reference, time)


def test_each_frame_of_an_enhanced_object_has_its_own_slope(data, tmp_path):
    path = data / "dicom_cases" / "enhanced_multiframe" / "In" / "Siemens" / "XA10" / "6_1.dcm"
    plain = read_series(path)
    enhanced = pydicom.dcmread(path)
    groups = enhanced.PerFrameFunctionalGroupsSequence
    for k, group in enumerate(groups):
        group.PixelValueTransformationSequence[0].RescaleSlope = 1 + 0.25 * k
    rng = np.random.default_rng(0)
    order = rng.permutation(len(groups))  # and frames stand in any order
    frames = enhanced.pixel_array[order]
    enhanced.PerFrameFunctionalGroupsSequence = pydicom.Sequence([groups[int(k)] for k in order])
    enhanced.PixelData = frames.tobytes()
    enhanced.save_as(tmp_path / "slopes.dcm")
    scaled = read_series(tmp_path / "slopes.dcm")
    np.testing.assert_allclose(scaled.affine, plain.affine)
    np.testing.assert_allclose(scaled.numpy(), plain.numpy() * (1 + 0.25 * np.arange(len(groups))), rtol=1e-6)


@pytest.mark.parametrize("name", ["1", "3", "4", "5", "7", "9"])
def test_transfer_syntaxes(data, name):
    """Little and big endian, RLE, JPEG lossless, JPEG-LS, JPEG 2000."""
    case = data / "dicom_cases" / "transfer_syntax"
    assert_same(read_series(case / "In" / f"{name}.dcm"), nibabel.load(case / "Ref" / "1.nii"))


@pytest.mark.parametrize(
    ("case", "truth"),
    [
        ("hitachi/anatomical/001", "hitachi/anatomical/001_ground_truth"),
        ("generic/anatomical/002_non_isotropic", "generic/anatomical/002_non_isotropic_ground_truth"),
        ("slicecount/001", "slicecount/001_ground_truth"),
    ],
)
def test_single_frames_slopes_and_two_slices(data, case, truth):
    folder = data / "dicom_cases" / "broken_series"
    assert_same(read_series(folder / case), nibabel.load(folder / f"{truth}.nii.gz"))


def test_deflated_file(make_series):
    folder = make_series()
    expected = read_series(folder)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
        data.save_as(path)
    np.testing.assert_array_equal(read_series(folder).numpy(), expected.numpy())


def test_jpeg_baseline(make_series, tmp_path):
    """Lossy: close to what was compressed."""
    import io

    from PIL import Image
    from pydicom.encaps import encapsulate

    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, format="JPEG", quality=95)

    def compress(k, ds):
        ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 64, 64, 8, 8, 7
        ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
        ds.PixelData = encapsulate([buffer.getvalue()])
        ds["PixelData"].is_undefined_length = True
        ds["PixelData"].VR = "OB"

    image = read_series(make_series(change=compress))
    assert np.abs(image[0, :, :, 2].numpy().T - smooth).max() <= 3


@pytest.mark.parametrize(("name", "less"), [("Rows", 1), ("Columns", 1), ("Columns", 4)])
def test_pixels_of_another_size_are_refused(make_series, name, less):
    """With fewer columns than were stored, every row would begin elsewhere."""
    folder = make_series(change=lambda k, ds: setattr(ds, name, ds[name].value - less))
    with pytest.raises(PolyscanError, match="bytes of pixels; expected"):
        read_series(folder)


@pytest.mark.parametrize(("name", "value"), [("ImageOrientationPatient", [0] * 6), ("Rows", 5)])
def test_a_slice_that_cannot_be_used_is_a_problem_of_its_series_at_the_end_too(make_series, name, value):
    def change(k, ds):
        if k == 4:
            setattr(ds, name, value)

    (problem,) = read_series(make_series(change=change)).meta["problems"]
    assert "slices may be missing" in problem
