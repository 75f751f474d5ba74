"""Rigid registration finds what was done to an image, and knows when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.io.geometry import to_sitk
from polyscan.phantom.subject import make_subject
from polyscan.phantom.write import write_pose
from polyscan.preprocess.register import register_rigid


def to_image(values, affine) -> sitk.Image:
    return to_sitk(MetaTensor(torch.from_numpy(values[None].astype(np.float32)), affine=torch.from_numpy(affine)))


@pytest.fixture(scope="module")
def subject():
    return make_subject(1, 11)


@pytest.fixture(scope="module")
def scans(subject):
    names = ("T1c", "T2", "FLAIR", "CT", "PET")
    return {name: to_image((scan := subject.scan(name, "small")).values, scan.grid.affine) for name in names}


def errors(found, truth) -> np.ndarray:
    """Distances in millimetres at points of a head."""
    points = np.array(np.meshgrid((-60.0, 0, 60), (-70.0, 0, 70), (-30.0, 10, 60))).reshape(3, -1).T
    return np.array(
        [np.linalg.norm(np.subtract(found.TransformPoint(p), truth.TransformPoint(p))) for p in points.tolist()]
    )


def truth_of(subject, moving, tmp_path) -> sitk.Transform:
    write_pose(tmp_path / "t.tfm", np.linalg.inv(subject.lying[moving]) @ subject.lying["T1c"])
    return sitk.ReadTransform(str(tmp_path / "t.tfm"))


@pytest.mark.parametrize(("moving", "limit"), [("T2", 1.0), ("FLAIR", 1.5), ("CT", 1.0), ("PET", 3.0)])
def test_recovers_where_the_patient_lay(subject, scans, tmp_path, moving, limit):
    """Limits are a third of a voxel for sharp scans of 3 mm, and most of one for PET of 4.5 mm."""
    found = register_rigid(scans["T1c"], scans[moving])
    assert found.trusted, found.reason
    assert errors(found.transform, truth_of(subject, moving, tmp_path)).max() < limit


def test_turned_by_180_degrees_and_shifted(subject, scans, tmp_path):
    away = sitk.Euler3DTransform((0.0, 0, 0), 0.1, 0.0, np.pi, (40.0, -30, 20))
    moved = sitk.Image(scans["T2"])
    matrix = np.array(away.GetMatrix()).reshape(3, 3)
    moved.SetOrigin(away.TransformPoint(moved.GetOrigin()))
    moved.SetDirection((matrix @ np.array(moved.GetDirection()).reshape(3, 3)).ravel().tolist())
    found = register_rigid(scans["T1c"], moved)
    truth = sitk.CompositeTransform([away, truth_of(subject, "T2", tmp_path)])
    assert found.trusted, found.reason
    assert errors(found.transform, truth).max() < 1.0


@pytest.mark.parametrize("engine", ["elastix", "simpleitk"])
def test_hard_start_with_either_engine_and_both_ways(subject, scans, tmp_path, engine):
    """30 degrees and 40 mm away, 40 % of the slices missing."""
    away = sitk.Euler3DTransform((0.0, 0, 0), 0.3, -0.3, 0.3, (25.0, -25, 20))
    moved = sitk.Image(scans["T2"])[:, :, int(0.4 * scans["T2"].GetSize()[2]) :]
    matrix = np.array(away.GetMatrix()).reshape(3, 3)
    moved.SetOrigin(away.TransformPoint(moved.GetOrigin()))
    moved.SetDirection((matrix @ np.array(moved.GetDirection()).reshape(3, 3)).ravel().tolist())
    found = register_rigid(scans["T1c"], moved, engine=engine, both_ways=engine == "elastix")
    assert found.trusted, found.reason
    assert found.measures.get("cycle", 0) < 2
    assert errors(found.transform, sitk.CompositeTransform([away, truth_of(subject, "T2", tmp_path)])).max() < 1.5


def test_unknown_engine(scans):
    with pytest.raises(PolyscanError, match="'ants' is not known; use elastix, simpleitk"):
        register_rigid(scans["T1c"], scans["T2"], engine="ants")


def test_scans_that_do_not_overlap_are_not_trusted(scans):
    """The upper half of a head and the lower third of it."""
    assert not register_rigid(scans["T1c"][:, :, :30], scans["T2"][:, :20, :]).trusted


def test_same_seed_same_result(scans):
    a, b = (register_rigid(scans["T1c"], scans["T2"], seed=3).transform for _ in range(2))
    assert a.GetParameters() == b.GetParameters()


def test_field_of_view_with_nan(subject, scans, tmp_path):
    values = sitk.GetArrayFromImage(scans["T2"])
    values[:20] = np.nan
    cropped = sitk.GetImageFromArray(values)
    cropped.CopyInformation(scans["T2"])
    found = register_rigid(scans["T1c"], cropped)
    assert found.trusted, found.reason
    assert errors(found.transform, truth_of(subject, "T2", tmp_path)).max() < 1.5


def test_unrelated_images_are_not_trusted(scans):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    for width in (1, 3, 6):
        noise = sitk.GetImageFromArray(gaussian_filter(rng.normal(size=(50, 60, 50)), width).astype(np.float32))
        noise.SetSpacing((3.0, 3, 3))
        found = register_rigid(scans["T1c"], noise)
        assert not found.trusted
        assert found.reason


@pytest.mark.parametrize("moving", ["t1", "t2", "flair"])
def test_real_glioma(data, moving):
    """The references' own cycle error is up to 1.95 mm."""
    folder = data / "glioma_mri_native"
    fixed, image = (sitk.ReadImage(folder / "native" / f"{n}.nii.gz", sitk.sitkFloat32) for n in ("t1c", moving))
    found = register_rigid(fixed, image)
    reference = sitk.ReadTransform(folder / f"t1c_to_{moving}_MI_reference.tfm")
    centre = fixed.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed.GetSize()])
    points = np.add(centre, np.array(np.meshgrid(*[(-50.0, 0, 50)] * 3)).reshape(3, -1).T)
    apart = [
        np.linalg.norm(np.subtract(found.transform.TransformPoint(p), reference.TransformPoint(p)))
        for p in points.tolist()
    ]
    assert found.trusted, found.reason
    assert np.max(apart) < 1.95


@pytest.mark.parametrize("position", ["HFP", "HFDL"])
def test_real_patient_positions(data, position):
    folder = data / "dicom_cases" / "mr_positions"
    fixed, image = (
        sitk.ReadImage(folder / "nifti" / f"{n}_t1_fl2d_sag.nii.gz", sitk.sitkFloat32) for n in ("HFS", position)
    )
    found = register_rigid(fixed, image)
    reference = sitk.ReadTransform(folder / f"HFS_to_{position}_MI_reference.tfm")
    centre = fixed.TransformContinuousIndexToPhysicalPoint([n / 2 for n in fixed.GetSize()])
    assert found.trusted, found.reason
    assert np.linalg.norm(np.subtract(found.transform.TransformPoint(centre), reference.TransformPoint(centre))) < 1.5
