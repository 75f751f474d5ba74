"""Where a NIfTI lies, what its header says that cannot be, and what it becomes in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import tarfile

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from saved import save

from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.formats.read import read_label
from polyscan.geometry import from_sitk, same_grid, to_sitk
from polyscan.study import Label


def test_what_is_no_volume_is_refused(tmp_path):
    with pytest.raises(PolyscanError, match="does not exist"):
        read_nifti(tmp_path / "a.nii.gz")
    with pytest.raises(PolyscanError, match=r"is a folder, as of DICOM.*polyscan prepare"):
        read_nifti(tmp_path)
    (tmp_path / "b.nii.gz").write_bytes(b"nothing")
    with pytest.raises(PolyscanError, match=r"^b.nii.gz cannot be read \((?!.*cannot be read)"):
        read_nifti(tmp_path / "b.nii.gz")
    with pytest.raises(PolyscanError, match="holds 3 volumes"):
        read_nifti(save(tmp_path / "c.nii.gz", np.ones((2, 2, 2, 3), np.float32)))


@pytest.mark.parametrize(
    ("written", "called", "says"),
    [
        ("T1.nii", "T1.nii.gz", "is not compressed, unlike its name says"),
        ("T1.nii.gz", "T1.nii", "is compressed, unlike its name says"),
        ("T1.nii", "T1.Nii", "has an ending in capital and small letters; call it T1.nii"),
    ],
)
def test_a_name_that_is_not_what_the_file_is(tmp_path, written, called, says):
    path = save(tmp_path / written, np.ones((2, 2, 2), np.float32)).rename(tmp_path / called)
    with pytest.raises(PolyscanError, match=says):
        read_nifti(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(PolyscanError, match="is a pointer of Git LFS or git-annex: its data were not fetched"):
        read_nifti(path)


VOLUME = nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)).to_bytes()


def packed(content):
    return gzip.compress(content, mtime=0)


def in_tar(content):
    held, member = io.BytesIO(), tarfile.TarInfo("T1.nii")
    member.size = len(content)
    with tarfile.open(fileobj=held, mode="w") as tar:
        tar.addfile(member, io.BytesIO(content))
    return packed(held.getvalue())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (packed(packed(VOLUME)), "is compressed twice; unpack it once"),
        (bz2.compress(VOLUME), "is compressed by bzip2, unlike its name says"),
        (in_tar(VOLUME), "is a tar archive, unlike its name says"),
        (b"<!DOCTYPE html><html>", "is a web page, unlike its name says"),
        (b"/annex/objects/MD5E-s9--a.nii.gz\n", "is a pointer of Git LFS or git-annex: its data were not fetched"),
        (packed(VOLUME) + b"\n", "cannot be read .1 bytes that are not compressed lie behind its content"),
        (packed(VOLUME) + b"more" * 9, "cannot be read .36 bytes that are not compressed lie behind"),
        (packed(VOLUME)[:-5], "cannot be read .its compressed content ends early"),
    ],
    ids=["twice", "bzip2", "tar", "page", "annex", "line", "text", "cut"],
)
def test_what_a_file_is_that_is_no_volume_in_gzip(tmp_path, content, says):
    (tmp_path / "T1.nii.gz").write_bytes(content)
    with pytest.raises(PolyscanError, match=says):
        read_nifti(tmp_path / "T1.nii.gz")


def test_a_volume_in_parts_that_were_compressed_one_by_one(tmp_path):
    (tmp_path / "T1.nii.gz").write_bytes(packed(VOLUME[:300]) + packed(VOLUME[300:]) + bytes(512))
    assert read_nifti(tmp_path / "T1.nii.gz").tolist() == [[[[1, 1], [1, 1]]] * 2]


def test_round_trip_with_nan(tmp_path):
    values = torch.rand(1, 3, 4, 5)
    values[0, 0] = float("nan")
    affine = torch.tensor([[0, -2.0, 0, 5], [0, 0, 3, 6], [-1, 0, 0, 7], [0, 0, 0, 1]], dtype=torch.float64)
    write_nifti(tmp_path / "a.nii.gz", MetaTensor(values, affine=affine))
    again = read_nifti(tmp_path / "a.nii.gz")
    torch.testing.assert_close(again.as_tensor(), values, equal_nan=True)
    torch.testing.assert_close(again.affine, affine)


def test_sitk_round_trip_of_any_orientation():
    rng = np.random.default_rng(0)
    for _ in range(20):
        affine = np.eye(4)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        affine[:3, :3], affine[:3, 3] = turn * rng.uniform(0.5, 4, 3), rng.normal(0, 50, 3)
        image = MetaTensor(torch.rand(1, 3, 4, 5), affine=torch.from_numpy(affine))
        moved = to_sitk(image)
        back = from_sitk(moved)
        assert same_grid(back, image, tolerance=1e-9)
        torch.testing.assert_close(back.as_tensor(), image.as_tensor())
        point = np.array(moved.TransformIndexToPhysicalPoint((2, 1, 3))) * [-1, -1, 1]
        np.testing.assert_allclose(point, (affine @ [2, 1, 3, 1])[:3], atol=1e-9)


def test_sheared_affine_is_refused():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 2] = 0.5
    with pytest.raises(PolyscanError, match="not perpendicular"):
        to_sitk(MetaTensor(torch.rand(1, 2, 2, 2), affine=affine))


def test_label_on_another_grid_is_refused_with_both(tmp_path):
    scan = MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4))
    label = Label(str(save(tmp_path / "m.nii.gz", np.zeros((4, 4, 5), np.uint8))))
    with pytest.raises(PolyscanError, match=r"\[4, 4, 5\] voxels and \[4, 4, 4\]"):
        read_label(label, scan)
    moved = np.eye(4)
    moved[0, 3] = 2
    with pytest.raises(PolyscanError, match="another place"):
        read_label(Label(str(save(tmp_path / "n.nii.gz", np.zeros((4, 4, 4), np.uint8), moved))), scan)
    with pytest.raises(PolyscanError, match="no whole numbers"):
        read_label(Label(str(save(tmp_path / "o.nii.gz", np.full((4, 4, 4), 0.5, np.float32)))), scan)


def test_a_label_whose_axes_run_otherwise_is_that_of_its_scan(tmp_path):
    affine = np.array([[0, -2.0, 0, 7], [3, 0, 0, -5], [0, 0, 4, 1], [0, 0, 0, 1]])
    values = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    path = save(tmp_path / "T1.nii.gz", values, affine)
    nibabel.save(nibabel.as_closest_canonical(nibabel.load(path)), tmp_path / "T1_seg.nii.gz")
    np.testing.assert_array_equal(read_label(Label(str(tmp_path / "T1_seg.nii.gz")), read_nifti(path))[0], values)


@pytest.mark.parametrize(("highest", "kind"), [(255, torch.uint8), (300, torch.int16), (70_000, torch.int32)])
def test_high_labels_stay_what_they_are(tmp_path, highest, kind):
    drawn_on, values = MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.eye(4)), np.zeros((2, 2, 2), np.int32)
    values[0, 0, 0] = highest
    label = read_label(Label(str(save(tmp_path / "m.nii.gz", values))), drawn_on)
    assert label.max() == highest
    assert label.dtype == kind


def test_an_image_that_is_called_a_label_is_refused(tmp_path):
    values = np.random.default_rng(0).integers(0, 900, (12, 12, 12)).astype(np.int16)
    drawn_on = MetaTensor(torch.zeros(1, 12, 12, 12), affine=torch.eye(4))
    with pytest.raises(PolyscanError, match=r"ground_truth.nii.gz is no mask: few neighbouring voxels share a value"):
        read_label(Label(str(save(tmp_path / "ground_truth.nii.gz", values))), drawn_on)
    parcels = np.kron(1000 + np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.ones((3, 3, 3), dtype=np.int16))
    assert read_label(Label(str(save(tmp_path / "parcels.nii.gz", parcels))), drawn_on).max() == 1063


REPORTED = "reported_cases"


def turned(seed: int = 0) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [2.0, 3.0, 4.0], [5, -6, 7]
    return affine


def with_header(path, values, affine, **fields):
    file = nibabel.Nifti1Image(values, affine)
    for name, value in fields.items():
        file.header[name] = value
    nibabel.save(file, path)
    return path


@pytest.mark.parametrize(("unit", "scale", "says"), [(1, 1e-3, "metre"), (3, 1e3, "micrometre"), (0, 1.0, "")])
def test_units_of_length(tmp_path, unit, scale, says):
    affine = turned()
    affine[:3] *= scale
    image = read_nifti(with_header(tmp_path / "a.nii", np.ones((2, 3, 4), np.float32), affine, xyzt_units=unit))
    np.testing.assert_allclose(image.affine, turned(), rtol=1e-5)
    assert says in " ".join(image.meta["problems"])


@pytest.mark.parametrize("size", [1e-3, 60.0])
def test_voxels_of_no_possible_size_are_refused(tmp_path, size):
    with pytest.raises(PolyscanError, match=r"expected 0.02 to 50 mm"):
        read_nifti(save(tmp_path / "a.nii", np.ones((2, 3, 4), np.float32), np.diag([1, 1, size, 1])))


def test_a_sheared_grid_is_resampled(tmp_path):
    """Values that are a linear function of the place stay that function."""
    affine = turned()
    affine[:3, 2] += 0.2 * affine[:3, 0]
    index = np.stack(np.meshgrid(*map(np.arange, (12, 13, 14)), indexing="ij"), axis=-1)
    values = (index @ affine[:3, :3].T + affine[:3, 3]) @ [1.0, 2.0, -3.0]
    path = save(tmp_path / "a.nii.gz", values.astype(np.float32), affine)
    image = read_nifti(path, "T1")
    assert "not perpendicular" in image.meta["problems"][0]
    to_sitk(image)
    there = np.argwhere(np.isfinite(image[0].numpy()))
    assert len(there) > 0.7 * values.size
    own = np.asarray(image.affine)
    np.testing.assert_allclose(
        image[0].numpy()[tuple(there.T)], (there @ own[:3, :3].T + own[:3, 3]) @ [1.0, 2.0, -3.0], atol=1e-2
    )
    mask = save(tmp_path / "m.nii.gz", (values > 0).astype(np.uint8), affine)
    label = read_label(Label(str(mask)), image)
    assert same_grid(label, image)
    assert set(np.unique(label.numpy())) == {0, 1}


def test_sform_and_qform_that_disagree_or_are_not_set_are_said(tmp_path):
    file = nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    file.set_sform(turned(), 1)
    file.set_qform(np.eye(4), 1)
    nibabel.save(file, tmp_path / "a.nii")
    image = read_nifti(tmp_path / "a.nii")
    np.testing.assert_allclose(image.affine, turned(), rtol=1e-5)
    assert "the sform was used" in image.meta["problems"][0]
    file.header["sform_code"] = file.header["qform_code"] = 0
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), None, file.header), tmp_path / "b.nii")
    assert "neither sform nor qform" in read_nifti(tmp_path / "b.nii").meta["problems"][0]


_FIELDS = {  # where they stand in the header, and how
    **{"pixdim[0]": (76, "f"), "pixdim[1]": (80, "f"), "scl_slope": (112, "f"), "scl_inter": (116, "f")},
    **{"qform_code": (252, "h"), "sform_code": (254, "h"), "quatern_b": (256, "f"), "qoffset_x": (268, "f")},
    **{"srow_x[0]": (280, "f"), "srow_x[3]": (292, "f"), "srow_y[1]": (300, "f"), "srow_z[2]": (320, "f")},
}


def spoiled(path, **fields):
    """A volume of 2 x 3 x 4 mm of which fields are overwritten."""
    file = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([2.0, 3, 4, 1]))
    file.set_qform(file.affine, 1)
    raw = bytearray(file.to_bytes())
    for name, value in fields.items():
        place, kind = _FIELDS[name]
        struct.pack_into(f"<{kind}", raw, place, value)
    path.write_bytes(raw)
    return path


NO_SFORM = {"sform_code": 0}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scl_slope": np.inf}, "scl_slope inf, which is no scale"),
        ({"scl_slope": -np.inf}, "scl_slope -inf, which is no scale"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "invalid intercept nan"),
        ({"scl_slope": 2, "scl_inter": np.inf}, "invalid intercept inf"),
        ({**NO_SFORM, "pixdim[1]": 0}, "voxel sizes of 0 x 3 x 4 in pixdim, and no sform"),
        ({**NO_SFORM, "pixdim[1]": np.inf}, "voxel sizes of inf x 3 x 4 in pixdim"),
        ({**NO_SFORM, "pixdim[1]": np.nan}, "voxel sizes of nan x 3 x 4 in pixdim"),
        ({**NO_SFORM, "qform_code": 0, "pixdim[1]": 0}, "voxel sizes of 0 x 3 x 4 in pixdim"),
        ({**NO_SFORM, "pixdim[0]": 2}, r"2 in pixdim\[0\] \(qfac\)"),
        ({**NO_SFORM, "pixdim[0]": np.nan}, r"nan in pixdim\[0\] \(qfac\)"),
        ({**NO_SFORM, "quatern_b": np.nan}, "no usable affine"),
        ({**NO_SFORM, "quatern_b": 2}, "cannot be read"),
        ({**NO_SFORM, "qoffset_x": np.inf}, "no usable affine"),
        ({**NO_SFORM, "qoffset_x": 1e30}, "more than 100 m away"),
        ({"srow_x[3]": 1e30}, "more than 100 m away"),
        ({"srow_x[0]": 0, "qform_code": 0}, "no usable affine"),
        ({"srow_x[0]": np.nan, "quatern_b": np.nan}, "no usable affine"),
    ],
)
def test_header_fields_that_cannot_be_are_refused(tmp_path, fields, says):
    with pytest.raises(PolyscanError, match=says):
        read_nifti(spoiled(tmp_path / "a.nii", **fields))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scl_slope": 0, "scl_inter": 5}, "scl_inter is 5 with no scl_slope"),
        ({"scl_slope": np.nan, "scl_inter": 5}, "scl_inter is 5 with no scl_slope"),
        ({**NO_SFORM, "pixdim[1]": -2}, "pixdim is negative"),
        ({"pixdim[1]": 0}, "pixdim tells other voxel sizes than the sform"),
        ({"pixdim[1]": np.inf}, "pixdim tells other voxel sizes than the sform"),
        ({"quatern_b": 2}, "its qform is none"),
        ({"quatern_b": np.nan}, "its qform is none"),
        ({"srow_x[0]": 0, "srow_y[1]": 0, "srow_z[2]": 0}, "its sform is none: the qform was used"),
        ({"srow_x[0]": np.nan}, "its sform is none: the qform was used"),
        ({"sform_code": 9}, "sform_code is 9, which is no code"),
        ({"sform_code": 0, "qform_code": -1}, "qform_code is -1, which is no code"),
    ],
)
def test_header_fields_that_are_not_used_or_mended_are_said(tmp_path, fields, says):
    image = read_nifti(spoiled(tmp_path / "a.nii", **fields))
    np.testing.assert_array_equal(image[0], np.arange(60).reshape(3, 4, 5))
    assert says in "; ".join(image.meta["problems"])
    assert image.pixdim.tolist() == [2, 3, 4]


def test_a_negative_slope_is_said(tmp_path):
    image = read_nifti(spoiled(tmp_path / "a.nii", scl_slope=-1, scl_inter=100))
    assert image.max() == 100
    assert "what is stored as bright is dark" in image.meta["problems"][0]


@pytest.mark.parametrize("fields", [{}, {**NO_SFORM, "pixdim[0]": 0}, {"scl_slope": 0, "scl_inter": 0}])
def test_a_plain_header_is_read_without_a_word(tmp_path, fields):
    image = read_nifti(spoiled(tmp_path / "a.nii", **fields))
    np.testing.assert_array_equal(image[0], np.arange(60).reshape(3, 4, 5))
    assert not image.meta["problems"]


def test_what_is_no_number_is_named(tmp_path):
    colour = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(PolyscanError, match="colour image"):
        read_nifti(save(tmp_path / "a.nii", colour), "T1")
    with pytest.raises(PolyscanError, match="complex numbers"):
        read_nifti(save(tmp_path / "b.nii", np.ones((2, 2, 2), np.complex64)), "T1")
    for values, words in ((np.full((2, 2, 2), np.nan), "no finite value"), (np.zeros((2, 2, 2)), "every voxel is 0")):
        with pytest.raises(PolyscanError, match=words):
            read_nifti(save(tmp_path / "c.nii", values.astype(np.float32)), "T1")
    assert read_nifti(save(tmp_path / "d.nii", np.zeros((2, 2, 2), np.uint8))).sum() == 0  # a mask may be empty


def test_fill_values_are_not_measured(tmp_path):
    values = np.ones((2, 2, 2))
    values[0, 0] = np.inf, 1e38
    values[1, 0, 0] = -1e300
    image = read_nifti(save(tmp_path / "a.nii", values), "T1")
    assert int(torch.isnan(image).sum()) == 3
    assert "3 voxels" in image.meta["problems"][0]


def test_one_volume_of_four_dimensions(tmp_path):
    assert read_nifti(save(tmp_path / "a.nii", np.ones((2, 3, 4, 1), np.float32))).shape == (1, 2, 3, 4)


def test_cases_of_the_reports(data):
    cases = data / REPORTED
    for folder in ("in", "micron"):
        image = read_nifti(cases / "nifti_units" / folder / "sub-1_T1w.nii.gz", "T1")
        expected = [[4, 0, 0, -80], [0, 4, 0, -88], [0, 0, 4, -72], [0, 0, 0, 1]]
        np.testing.assert_allclose(image.affine, expected, rtol=1e-5)
    with pytest.raises(PolyscanError, match="colour image"):
        read_nifti(cases / "nifti_rgb_message/in/sub-1_T1w.nii.gz", "T1")
    to_sitk(read_nifti(cases / "nifti_sheared_sform/in/sub-1_T2w.nii.gz", "T2"))
    pet = cases / "bids_pet_weight/in/pet001/sub-01/ses-01/pet/sub-01_ses-01_trc-CIMBI36_pet.nii.gz"
    values = nibabel.load(pet).get_fdata()
    np.testing.assert_allclose(read_nifti(pet, "PET")[0].numpy(), values * 21_000 / 573e6, rtol=1e-5)


def test_voxel_sizes_that_differ_from_the_sform_are_said(tmp_path):
    file = nibabel.Nifti1Image(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.diag([2, 3, 4, 1]))
    file.header["pixdim"][2] = 1
    nibabel.save(file, tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[84:88] = np.float32(1).tobytes()  # nibabel mends pixdim when it saves
    (tmp_path / "a.nii").write_bytes(content)
    image = read_nifti(tmp_path / "a.nii")
    assert image.meta["problems"] == ["pixdim tells other voxel sizes than the sform: the sform was used"]
    np.testing.assert_array_equal(np.diag(image.affine), [2, 3, 4, 1])


def test_a_compressed_file_with_a_changed_byte_is_refused(tmp_path):
    """nibabel stops before the checksum, at the last voxel."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 24, 24, 24)).astype(np.float32))
    path = tmp_path / "T1.nii.gz"
    write_nifti(path, MetaTensor(values, affine=torch.eye(4)))
    whole = path.read_bytes()
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 6):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(PolyscanError, match="cannot be read"):
            read_nifti(path)
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_nifti(path), values)
