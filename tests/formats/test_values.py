"""What a value of a NIfTI file means, and where it lies: made files of kinds that scanners and converters write."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import Dataset

from polyscan.errors import PolyscanError
from polyscan.formats.read import read_image

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3, 0, 20], [0, 0, 4, 5], [0, 0, 0, 1]])
VALUES = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
TISSUE = VALUES - 120  # as of a CT: fat to bone


def made(values=VALUES, affine=AFFINE, unit=2, sform=1, qform=1):
    file = nibabel.Nifti1Image(values, affine)
    file.set_sform(affine, sform)
    file.set_qform(affine, qform)
    file.header["xyzt_units"] = unit
    return file


def saved(tmp_path, file, patches=(), name="scan.nii"):
    """The path of a file of which some bytes were changed: offset, format, values."""
    nibabel.save(file, tmp_path / "scan.nii")
    content = bytearray((tmp_path / "scan.nii").read_bytes())
    for offset, form, *values in patches:
        struct.pack_into(form, content, offset, *values)
    (tmp_path / name).write_bytes(gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content))
    return str(tmp_path / name)


def at(values, where, what):
    changed = values.astype(np.float64)
    changed[where] = what
    return changed


UNTOLD = np.diag([2.0, 3, 4, 1])
UNTOLD[:3, 3] = -0.5 * (np.array([6, 7, 8]) - 1) * [2, 3, 4]


@pytest.mark.parametrize(
    ("file", "affine", "said"),
    [
        (made(), AFFINE, []),
        (made(affine=AFFINE * [[1e-3], [1e-3], [1e-3], [1]], unit=1), AFFINE, ["metre"]),
        (made(affine=AFFINE * [[1e3], [1e3], [1e3], [1]], unit=3), AFFINE, ["micrometre"]),
        (made(unit=2 | 8), AFFINE, []),  # millimetres and seconds
        (made(unit=0), AFFINE, []),
        (made(sform=0), AFFINE, []),
        (made(qform=0), AFFINE, []),
    ],
    ids=["mm", "metre", "micrometre", "mm and s", "no unit", "qform alone", "sform alone"],
)
def test_where_voxels_lie(file, affine, said, tmp_path):
    image = read_image(saved(tmp_path, file), "T1")
    np.testing.assert_allclose(image.affine, affine, rtol=1e-5)
    np.testing.assert_array_equal(image[0], VALUES)
    assert len(image.meta["problems"]) == len(said)
    assert all(word in problem for word, problem in zip(said, image.meta["problems"], strict=True))


def test_of_two_places_the_sform_is_taken_and_said(tmp_path):
    file = made()
    file.set_qform(AFFINE @ np.diag([1, 1, -1, 1]), 1)
    image = read_image(saved(tmp_path, file), "T1")
    np.testing.assert_allclose(image.affine, AFFINE)
    assert "sform and qform lie up to" in image.meta["problems"][0]


@pytest.mark.parametrize(
    ("patches", "said"),
    [
        ([(108, "<f", 0.0)], "vox_offset 0, which lies within its header"),
        ([(108, "<f", 400.0)], "ends early"),
        ([(42, "<h", 3)], "goes on behind"),  # half of the columns
        ([(42, "<h", 60)], "ends early"),
        ([(70, "<hh", 4, 16)], "goes on behind"),  # int16, and the voxels are float32
        ([(116, "<f", np.nan), (112, "<f", 2.0)], "invalid intercept"),
        ([(76, "<ffff", 1, np.nan, 3, 4), (254, "<h", 0)], "voxel sizes of nan x 3 x 4"),
        ([(123, "<B", 5)], "no length"),
        ([(252, "<h", 0), (254, "<h", 1), (280, "<12f", *[0.0] * 12)], "no usable affine"),
        ([(252, "<h", 0), (254, "<h", 1), (280, "<4f", 2, 0, 0, np.nan)], "no usable affine"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(patches, said, tmp_path):
    with pytest.raises(PolyscanError, match=said):
        read_image(saved(tmp_path, made(sform=0 if patches[-1] == (254, "<h", 0) else 1), patches), "T1")


def test_a_wrong_dimension_of_a_compressed_file_is_refused(tmp_path):
    path = saved(tmp_path, made(), [(42, "<h", 3)], "scan.nii.gz")
    with pytest.raises(PolyscanError, match="goes on behind"):
        read_image(path, "T1")


@pytest.mark.parametrize("left", [200, 2000])
def test_a_compressed_file_that_was_cut_off_ends_early(left, tmp_path):
    path = Path(saved(tmp_path, made(np.random.default_rng(0).random(VALUES.shape)), name="scan.nii.gz"))
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(PolyscanError, match="cannot be read"):
        read_image(str(path), "T1")


def test_a_file_may_be_padded(tmp_path):
    path = saved(tmp_path, made())
    with Path(path).open("ab") as file:
        file.write(bytes(100))
    np.testing.assert_array_equal(read_image(path, "T1")[0], VALUES)


@pytest.mark.parametrize("fill", [np.inf, -np.inf, np.nan, 1e38, -3.4e38, 1e200])
def test_fill_values_are_not_measured(fill, tmp_path):
    image = read_image(saved(tmp_path, made(at(VALUES, 0, fill))), "T1")
    assert np.isnan(image[0, 0]).all()
    np.testing.assert_array_equal(image[0, 1:], VALUES[1:])


@pytest.mark.parametrize("padding", [-2000, -3024, -32768, 63536])
def test_padding_of_a_ct_is_not_measured(padding, tmp_path):
    image = read_image(saved(tmp_path, made(at(TISSUE, 0, padding))), "CT")
    assert np.isnan(image[0, 0]).all()
    np.testing.assert_array_equal(image[0, 1:], TISSUE[1:])
    assert "56 voxels lie outside -1500 to 32767 HU" in image.meta["problems"][0]
    kept = read_image(saved(tmp_path, made(at(TISSUE, 0, padding))), "T1")
    assert (kept[0, 0] == padding).all()  # of an MR nothing is known


def test_a_sign_of_a_ct_that_was_lost_is_given_back(tmp_path):
    lost = np.where(TISSUE < 0, TISSUE + 65536, TISSUE)
    image = read_image(saved(tmp_path, made(lost)), "CT")
    np.testing.assert_array_equal(image[0], TISSUE)
    (said,) = image.meta["problems"]
    assert said.startswith("the sign of 120 voxels was lost")


@pytest.mark.parametrize(("stored", "said"), [(1, []), (1e-3, ["1e-3 mm2/s"]), (1e-6, ["in mm2/s"])])
def test_adc_has_one_unit_whatever_it_was_stored_in(tmp_path, stored, said):
    image = read_image(saved(tmp_path, made((VALUES + 700) * np.float32(stored))), "ADC")
    np.testing.assert_allclose(image[0], VALUES + 700, rtol=1e-5)
    assert [told in problem for told, problem in zip(said, image.meta["problems"], strict=True)] == [True] * len(said)


def test_adc_of_no_unit_that_is_known_is_doubtful(tmp_path):
    (doubt,) = read_image(saved(tmp_path, made(VALUES + 9000)), "ADC").meta["doubts"]
    assert doubt.startswith("the unit of ADC is not known")


@pytest.mark.parametrize(
    ("unit", "slope", "value", "said"),
    [
        ("um2/s", 0.1, 700, "ADC in the unit of its RealWorldValueMappingSequence was brought"),  # stored tenfold
        ("10-3.mm2/s", 1e-3, 700, ""),
        ("mm2/s", 1.0, 700, "ADC has values of tissue in 1e-6 mm2/s, and not in the unit of its"),  # as GE has it
    ],
)
def test_the_unit_that_a_header_names_for_adc_is_believed_of_tissue(make_series, unit, slope, value, said):
    mapping, code = Dataset(), Dataset()
    code.CodeValue = unit
    mapping.MeasurementUnitsCodeSequence = [code]
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, 0

    def change(k, ds):
        ds.RealWorldValueMappingSequence = [mapping]
        ds.PixelData = np.full((6, 7), value if slope != 0.1 else 10 * value, "<u2").tobytes()

    folder = make_series(modality="MR", SeriesDescription="ADC", change=change)
    image = read_image(str(folder), "ADC")
    np.testing.assert_allclose(image.numpy(), value, rtol=1e-5)
    assert [problem.startswith(said) for problem in image.meta["problems"]] == ([True] if said else [])


def test_values_too_near_to_each_other_for_a_ct_are_doubtful(tmp_path):
    (doubt,) = read_image(saved(tmp_path, made(VALUES / 2000)), "CT").meta["doubts"]
    assert "they may be attenuation coefficients" in doubt


@pytest.mark.parametrize(("slope", "doubted"), [(1e-4, True), (0.1, False), (500, True)])
def test_suv_of_no_patient_is_doubtful(make_series, slope, doubted):
    pet = make_series(modality="PT", Units="GML", CorrectedImage=["ATTN"], RescaleSlope=slope)
    assert ["as that of no patient does" in each for each in read_image(str(pet), "PET").meta["doubts"]] == [
        True
    ] * doubted


def test_stored_values_of_a_ct_are_doubtful(tmp_path):
    air = at(TISSUE, slice(0, 2), -1000)
    assert read_image(saved(tmp_path, made(air)), "CT").meta["doubts"] == []
    assert read_image(saved(tmp_path, made(np.clip(TISSUE, 0, 80))), "CT").meta["doubts"] == []  # a brain, cut out
    (doubt,) = read_image(saved(tmp_path, made(air + 1024)), "CT").meta["doubts"]
    assert "they may be stored values, 1024 above Hounsfield units" in doubt


def test_stored_values_of_a_dicom_series_are_doubtful(make_series):
    def stored(k, ds):
        ds.PixelData = np.tile(np.array([24, 1060, 1060, 1060, 1060, 1060, 24], "<u2"), (6, 1)).tobytes()

    (doubt,) = read_image(str(make_series("stored", change=stored)), "CT").meta["doubts"]
    assert "they may be stored values, 1024 above Hounsfield units" in doubt
    assert read_image(str(make_series("told", RescaleIntercept=-1024, change=stored)), "CT").meta["doubts"] == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full_like(VALUES, np.nan), "no finite value"),
        (np.zeros_like(VALUES), "every voxel is 0"),
        (np.full_like(VALUES, -3024), "no finite value"),
        (VALUES.astype(np.complex64), "complex numbers"),
        (np.zeros(VALUES.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]), "colour image"),
        (np.stack([VALUES] * 3, -1)[:, :, :, None], "shape"),
    ],
)
def test_what_is_no_image_is_refused(values, said, tmp_path):
    with pytest.raises(PolyscanError, match=said):
        read_image(saved(tmp_path, nibabel.Nifti1Image(values, AFFINE)), "CT")
