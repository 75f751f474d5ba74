from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.geometry import from_sitk, same_grid, to_sitk
from polyscan.io.nifti import read_nifti, write_nifti
from polyscan.io.read import read_label

PET = {
    "Units": "Bq/mL",
    "InjectedRadioactivity": 370,
    "InjectedRadioactivityUnits": "MBq",
    "BodyWeight": 70,
    "TracerRadionuclide": "F18",
    "InjectionStart": -3600,
    "ScanStart": 0,
    "ImageDecayCorrected": True,
    "ImageDecayCorrectionTime": 0,
}


def save(path, values, affine=None):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def test_pet_with_a_sidecar_becomes_suv(tmp_path):
    path = save(tmp_path / "a_pet.nii.gz", np.full((2, 3, 4), 5000, np.float32))
    image = read_nifti(path, "PET")
    assert "taken as SUV already" in image.meta["problems"][0]
    (tmp_path / "a_pet.json").write_text(json.dumps(PET))
    image = read_nifti(path, "PET")
    np.testing.assert_allclose(image.numpy(), 5000 * 70_000 / (370e6 * 0.5 ** (3600 / 6586.2)), rtol=1e-6)
    assert (image.meta["unit"], image.meta["problems"]) == ("SUVbw", [])


@pytest.mark.parametrize(("change", "words"), [({"BodyWeight": None}, "no usable"), ({"Units": "counts"}, "counts")])
def test_pet_sidecar_that_is_not_enough(tmp_path, change, words):
    path = save(tmp_path / "a_pet.nii.gz", np.ones((2, 3, 4), np.float32))
    (tmp_path / "a_pet.json").write_text(json.dumps({**PET, **change}))
    with pytest.raises(PolyscanError, match=words):
        read_nifti(path, "PET")


def test_what_is_no_volume_is_refused(tmp_path):
    with pytest.raises(PolyscanError, match="does not exist"):
        read_nifti(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"nothing")
    with pytest.raises(PolyscanError, match="cannot be read as NIfTI"):
        read_nifti(tmp_path / "b.nii.gz")
    with pytest.raises(PolyscanError, match="one 3D volume"):
        read_nifti(save(tmp_path / "c.nii.gz", np.ones((2, 2, 2, 3), np.float32)))


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
    with pytest.raises(ValueError, match="not perpendicular"):
        to_sitk(MetaTensor(torch.rand(1, 2, 2, 2), affine=affine))


def test_label_on_another_grid_is_refused_with_both(tmp_path):
    scan = MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4))
    label = {"mask": str(save(tmp_path / "m.nii.gz", np.zeros((4, 4, 5), np.uint8)))}
    with pytest.raises(PolyscanError, match=r"\[4, 4, 5\] voxels and \[4, 4, 4\]"):
        read_label(label, scan)
    moved = np.eye(4)
    moved[0, 3] = 2
    with pytest.raises(PolyscanError, match="another place"):
        read_label({"mask": str(save(tmp_path / "n.nii.gz", np.zeros((4, 4, 4), np.uint8), moved))}, scan)
    with pytest.raises(PolyscanError, match="no whole numbers"):
        read_label({"mask": str(save(tmp_path / "o.nii.gz", np.full((4, 4, 4), 0.5, np.float32)))}, scan)
