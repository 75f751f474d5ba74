"""Geometry and values of DICOM series, real and made."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pydicom
import pytest

from polyscan.dicom.read import find_series, read_series
from polyscan.errors import PolyscanError
from polyscan.formats.read import read_image

PLAIN = np.diag([-2.0, -2.0, 3.0, 1.0])
PLAIN[:3, 3] = [10, 20, 0]


def test_plain_series_is_where_its_header_says(make_series):
    image = read_series(make_series())
    assert image.shape == (1, 7, 6, 5)
    np.testing.assert_allclose(image.affine, PLAIN)
    np.testing.assert_array_equal(image[0, 3, 2].numpy(), [3, 13, 23, 33, 43])
    assert image.meta["unit"] == "HU"
    assert image.meta["problems"] == []


def test_what_find_series_lists_is_read(make_series):
    folder = make_series()
    (found,) = find_series(folder)
    np.testing.assert_array_equal(read_series(found), read_series(folder))
    assert repr(found).startswith(f"Series({found.modality}, {' x '.join(map(str, found.shape))}, of ")
    assert str(found.headers[0].PatientID) not in repr([found])
    with pytest.raises(PolyscanError, match="No file was given"):
        read_series([])
    with pytest.raises(PolyscanError, match="is left out"):
        read_series(replace(found, modality=None, where=None, reason="is left out"))


def test_instance_numbers_and_file_names_do_not_matter(make_series):
    def shuffle(k, ds):
        position = [3, 0, 4, 1, 2][k]
        ds.ImagePositionPatient = [-10, -20, 3 * position]
        ds.PixelData = (np.tile(np.arange(7), (6, 1)) + 10 * position).astype("<u2").tobytes()
        if k == 2:
            del ds.InstanceNumber

    image = read_series(make_series(change=shuffle))
    np.testing.assert_allclose(image.affine, PLAIN)
    np.testing.assert_array_equal(image[0, 0, 0].numpy(), [0, 10, 20, 30, 40])


def test_each_slice_has_its_own_slope_and_intercept(make_series):
    def rescale(k, ds):
        ds.RescaleSlope, ds.RescaleIntercept = 1 if k == 0 else 0.5, -100 * k

    image = read_series(make_series(change=rescale))
    np.testing.assert_allclose(image[0, 0, 0].numpy(), [0, 5 - 100, 10 - 200, 15 - 300, 20 - 400])


@pytest.mark.parametrize("axis", [0, 1])
def test_sheared_stack_is_resampled_not_sheared(make_series, axis):
    shear = 1.5

    def tilt(k, ds):
        position = [-10.0, -20.0, 3.0 * k]
        position[axis] += shear * k
        ds.ImagePositionPatient = position
        row, column = np.indices((6, 7))
        # The true object is 100 x + 10 y + z in millimetres: linear, so that interpolation gives it back exactly.
        x, y = position[0] + 2 * column, position[1] + 2 * row
        ds.PixelData = (np.rint(10 * (x + 2 * y + position[2])) + 5000).astype("<u2").tobytes()

    image = read_series(make_series(change=tilt))
    assert "sheared" in image.meta["problems"][0]
    matrix = np.asarray(image.affine)[:3, :3]
    np.testing.assert_allclose(matrix, np.diag([-2, -2, 3]), atol=1e-9)
    index = np.argwhere(np.isfinite(image[0].numpy()))
    assert len(index) > 60
    points = (index @ matrix.T + np.asarray(image.affine)[:3, 3]) * [-1, -1, 1]
    expected = 10 * (points[:, 0] + 2 * points[:, 1] + points[:, 2]) + 5000
    np.testing.assert_allclose(image[0].numpy()[tuple(index.T)], expected, atol=1.01)


def test_uneven_steps_are_made_even(make_series):
    depths = [0, 3, 6, 12, 15]

    def gap(k, ds):
        ds.ImagePositionPatient = [-10, -20, depths[k]]
        ds.PixelData = np.full((6, 7), depths[k] * 10).astype("<u2").tobytes()

    image = read_series(make_series(change=gap))
    assert "slice steps from 3.00 to 6.00 mm" in image.meta["problems"][0]
    np.testing.assert_allclose(image[0, 0, 0].numpy(), [0, 30, 60, 90, 120, 150])


def test_ct_padding_is_outside_the_field_of_view(make_series):
    image = read_series(make_series(PixelPaddingValue=0))
    assert np.isnan(image[0, 0, 0, 0])
    assert np.isfinite(image[0, 1:].numpy()).all()


def test_two_slices_at_one_position_are_refused(make_series):
    folder = make_series(change=lambda k, ds: setattr(ds, "ImagePositionPatient", [-10, -20, 3 * min(k, 3)]))
    (series,) = find_series(folder)
    assert series.modality is None
    with pytest.raises(PolyscanError, match="2 of 5 slices lie at one position"):
        read_series(sorted(folder.iterdir()))


def test_truncated_slice_is_named_and_patient_is_not(make_series):
    folder = make_series("ward/CT")
    file = folder / "002.dcm"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(PolyscanError, match=r"ward/CT/002\.dcm is corrupt.*copy the file again") as caught:
        read_series(folder)
    assert "SECRET" not in str(caught.value).upper()


def test_missing_geometry_says_which_attribute(make_series):
    folder = make_series(change=lambda k, ds: delattr(ds, "ImagePositionPatient"))
    (series,) = find_series(folder)
    assert "ImagePositionPatient" in series.reason
    with pytest.raises(PolyscanError, match="ImagePositionPatient is missing or no number in 5 of 5"):
        read_series(folder)


def test_several_series_in_a_folder_must_be_named(make_series):
    folder = make_series("both/a").parent
    make_series("both/b")
    with pytest.raises(PolyscanError, match="2 volumes; expected one"):
        read_series(folder)
    assert read_series(folder / "a").shape == (1, 7, 6, 5)


@pytest.mark.parametrize("subject", ["STS_002", "STS_025"])
@pytest.mark.parametrize(("name", "tolerance"), [("CT", 0), ("MR_T1", 0), ("PET", 3e-6)])
def test_real_series_equal_their_reference(data, subject, name, tolerance):
    image = read_series(data / "sarcoma_ct_mr_pet" / "dicom" / subject / name / "image")
    reference = nibabel.load(data / "sarcoma_ct_mr_pet" / "nifti" / subject / f"{name}_image.nii.gz")
    orient = nibabel.orientations
    turn = orient.ornt_transform(
        orient.io_orientation(np.asarray(image.affine)), orient.io_orientation(reference.affine)
    )
    turned = nibabel.Nifti1Image(image[0].numpy(), np.asarray(image.affine)).as_reoriented(turn)
    np.testing.assert_allclose(turned.get_fdata(), reference.get_fdata(), rtol=0, atol=tolerance)
    np.testing.assert_allclose(turned.affine, reference.affine, atol=3e-5)


def test_real_tilted_and_uneven_stack(data):
    image = read_series(data / "dicom_cases" / "ct_tilt" / "GE_tilt_varspacing")
    assert len(image.meta["problems"]) == 2
    matrix = np.asarray(image.affine)[:3, :3]
    cosines = matrix / np.linalg.norm(matrix, axis=0)
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-6)


def test_real_oddities_are_left_out_with_a_reason(data):
    found = find_series(data / "dicom_cases" / "ct_localizer_and_summary")
    assert found
    assert all(series.modality is None and series.reason for series in found)


def test_real_jpeg_2000(data):
    image = read_series(data / "dicom_cases" / "broken_series" / "generic" / "compressed_j2k" / "001")
    assert image.shape[-1] == 4
    assert float(image.max()) > 100


@pytest.mark.parametrize(
    ("representation", "padding", "stored"), [(1, 63536, -2000), (0, -2000, 63536), (1, -2000, -2000), (0, 7, 7)]
)
def test_padding_of_the_wrong_sign(make_series, representation, padding, stored):
    def change(k, ds):
        values = np.full((6, 7), 100, dtype="<i2" if representation else "<u2")
        values[0] = stored
        ds.PixelData, ds.PixelRepresentation = values.tobytes(), representation
        ds.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)

    values = read_series(make_series(change=change))[0].numpy()
    assert np.isnan(values[:, 0]).all()
    assert (values[:, 1:] == 100).all()


def test_padding_range_of_the_wrong_sign(make_series):
    def change(k, ds):
        values = np.full((6, 7), 100, dtype="<i2")
        values[0], values[1] = -2000, -1990
        ds.PixelData, ds.PixelRepresentation = values.tobytes(), 1
        ds.add_new("PixelPaddingValue", "US", 63536)
        ds.add_new("PixelPaddingRangeLimit", "US", 63546)

    values = read_series(make_series(change=change))[0].numpy()
    assert np.isnan(values[:, :2]).all()
    assert (values[:, 2:] == 100).all()


def test_a_ct_in_another_unit_is_refused(make_series):
    folder = make_series(RescaleType="MGML")
    with pytest.raises(PolyscanError, match=r"series.*values in MGML; expected HU"):
        read_image(str(folder), "CT")
    assert read_image(str(make_series("b", RescaleType="HU")), "CT").meta["problems"] == []
    unknown = make_series("c", change=lambda k, ds: delattr(ds, "RescaleIntercept"))
    assert "taken as HU" in read_image(str(unknown), "CT").meta["problems"][0]


def test_a_series_of_zeros_or_padding_is_refused(make_series):
    def zeros(k, ds):
        ds.PixelData = bytes(6 * 7 * 2)

    with pytest.raises(PolyscanError, match=r"a: The series is empty"):
        read_image(str(make_series("a", change=zeros)), "CT")
    with pytest.raises(PolyscanError, match=r"b: The series holds no finite value"):
        read_image(str(make_series("b", change=zeros, PixelPaddingValue=0)), "CT")


def test_any_exception_of_a_reader_names_the_file(make_series, monkeypatch):
    def fail(*_):
        pydicom.Dataset().ContourSequence  # noqa: B018

    monkeypatch.setattr("polyscan.formats.read.read_series", fail)
    with pytest.raises(PolyscanError, match=r"series cannot be read \(AttributeError at ContourSequence\)"):
        read_image(str(make_series()), "CT")


def test_padding_of_the_report(data):
    values = read_series(data / "reported_cases/ct_padding_us_63536/in/CT").numpy()
    assert np.isnan(values).sum() == 1440
    assert (np.nanmin(values), np.nanmax(values)) == (-358, 281)


def as_floats(ds, name, kind):
    """Make the pixels of a data set floating point numbers: its column and a quarter, 10 more a slice."""
    values = np.tile(np.arange(7) + 0.25, (6, 1)) + 10 * (ds.InstanceNumber - 1)
    for attribute in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, attribute)
    ds.BitsAllocated = 8 * np.dtype(kind).itemsize
    setattr(ds, name, values.astype(kind).tobytes())


@pytest.mark.parametrize(("name", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_pixels_that_are_floating_point_numbers(make_series, tmp_path, name, kind):
    folder = make_series(change=lambda k, ds: as_floats(ds, name, kind))
    np.testing.assert_array_equal(read_series(folder)[0, 1:3, 0, :2].numpy(), [[1.25, 11.25], [2.25, 12.25]])
    for file in list(folder.iterdir()):  # the same again, and other pixels in the same places
        ds = pydicom.dcmread(file)
        pydicom.dcmwrite(folder / f"copy_{file.name}", ds)
        setattr(ds, name, bytes(len(ds[name].value)))
        pydicom.dcmwrite(folder / f"other_{file.name}", ds)
    (series,) = find_series(folder)
    assert "copies of slices, which are not used: 5" in series.reason
    assert "10 of 10 slices lie at one position" in series.reason


def test_padding_and_negative_values_of_floating_point_numbers(make_series):
    folder = make_series("ct", change=lambda k, ds: as_floats(ds, "FloatPixelData", "<f4"), FloatPixelPaddingValue=0.25)
    assert np.isnan(read_series(folder).numpy()).sum() == 6

    def below_zero(k, ds):
        as_floats(ds, "FloatPixelData", "<f4")
        ds.FloatPixelData = (np.frombuffer(ds.FloatPixelData, "<f4") - 30).tobytes()

    (series,) = find_series(make_series("mr", modality="MR", change=below_zero, SeriesDescription="T1"))
    assert (series.modality, "negative values" in series.reason) == (None, True)


def test_a_header_without_pixels_is_not_called_corrupt(make_series):
    folder = make_series(change=lambda k, ds: delattr(ds, "PixelData"))
    with pytest.raises(PolyscanError, match=r"000\.dcm has a header and no pixels; export it again"):
        read_series(folder)


def test_a_pet_without_slope_is_refused(make_series):
    def bare(k, ds):
        del ds.RescaleSlope, ds.RescaleIntercept

    folder = make_series(modality="PT", CorrectedImage=["ATTN"], Units="GML", change=bare)
    with pytest.raises(PolyscanError, match="without which stored values of PET are no activity"):
        read_series(folder)
