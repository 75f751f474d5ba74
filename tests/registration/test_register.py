"""Rigid registration finds what was done to an image, and knows when it cannot."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import from_sitk, to_sitk
from polyscan.phantom.subject import make_subject
from polyscan.phantom.write import write_pose
from polyscan.registration import register, register_rigid, register_study
from polyscan.registration.shrink import shrink
from polyscan.registration.volume import Volume


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


@pytest.mark.parametrize(("engine", "spacing"), [("torch", 3.0), ("elastix", 3.0), ("simpleitk", 6.0)])
def test_hard_start_with_every_engine_and_both_ways(subject, scans, tmp_path, engine, spacing):
    """30 degrees and 40 mm away, 40 % of the slices missing; how two ways are compared is the same for every engine."""
    away = sitk.Euler3DTransform((0.0, 0, 0), 0.3, -0.3, 0.3, (25.0, -25, 20))
    fixed, moved = (shrink(scans[name], spacing) for name in ("T1c", "T2"))  # ITK's search of 3 mm takes 8 s more
    moved = moved[:, :, int(0.4 * moved.GetSize()[2]) :]
    matrix = np.array(away.GetMatrix()).reshape(3, 3)
    moved.SetOrigin(away.TransformPoint(moved.GetOrigin()))
    moved.SetDirection((matrix @ np.array(moved.GetDirection()).reshape(3, 3)).ravel().tolist())
    found = register_rigid(fixed, moved, engine=engine, both_ways=engine == "torch")
    assert found.trusted, found.reason
    assert found.measures["inverse consistency"] < 2
    assert errors(found.transform, sitk.CompositeTransform([away, truth_of(subject, "T2", tmp_path)])).max() < 1.5


def test_unknown_engine(scans):
    with pytest.raises(PolyscanError, match="'ants' is not known; use torch, elastix, simpleitk"):
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


@pytest.mark.parametrize("visit", ["study1", "study2"])
def test_real_slices_of_sclerosis(data, visit):
    """Voxels of 0.7 to 0.9 mm in slices of 3 and 4 mm: 0.92 and 0.76 mm off where followed to 2 mm only."""
    folder = data / "ms_longitudinal" / "patient01"
    fixed, image = (sitk.ReadImage(folder / f"{visit}_{n}.nii.gz", sitk.sitkFloat32) for n in ("FLAIR", "T1W"))
    found = register_rigid(fixed, image)
    published = sitk.ReadTransform(folder / f"{visit}_T1W_intrastudy_to_FLAIR.txt")
    assert found.trusted, found.reason
    assert np.median(errors(found.transform, published)) < 0.6


def test_a_study_is_its_pairs(scans):
    """What is made once for the reference does not depend on what is registered to it."""
    every = register_study(scans["T1c"], [scans["T2"], scans["PET"]])
    for found, name in zip(every, ("T2", "PET"), strict=True):
        alone = register_rigid(scans["T1c"], scans[name])
        assert found.transform.GetParameters() == alone.transform.GetParameters()
        assert found.measures == alone.measures


def test_twelve_degrees_of_freedom_find_a_stretch(scans):
    """A head 6 % longer and 3 % narrower than it is."""
    stretch = np.diag([0.97, 1.0, 1.06])
    image = scans["T1c"]
    moved = sitk.Image(image)
    moved.SetSpacing((stretch @ image.GetSpacing()).tolist())
    moved.SetOrigin((stretch @ image.GetOrigin()).tolist())
    found = register_rigid(image, moved, degrees_of_freedom=12)
    truth = sitk.AffineTransform(stretch.ravel().tolist(), (0.0, 0.0, 0.0))
    assert found.trusted, found.reason
    assert errors(found.transform, truth).max() < 1.0
    assert errors(register_rigid(image, moved).transform, truth).max() > 2.0


def test_elastix_has_no_affine(scans):
    with pytest.raises(PolyscanError, match="elastix engine has no transform of 12 degrees of freedom; use 6"):
        register_rigid(scans["T1c"], scans["T2"], engine="elastix", degrees_of_freedom=12)


def test_an_image_of_two_dimensions(scans):
    with pytest.raises(PolyscanError, match="An image of 2 dimensions"):
        register_rigid(scans["T1c"], scans["T2"][:, :, 3])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((30, 30, 30), 7.0), "the moving image is constant"),
        (np.full((30, 30, 30), np.nan), "has only 0 finite voxels"),
        (np.arange(27.0).reshape(3, 3, 3), "has only 27 finite voxels"),
        (np.full((30, 30, 30), np.inf), "has only 0 finite voxels"),
    ],
)
def test_nothing_to_align_by(scans, values, reason):
    found = register_rigid(scans["T1c"], sitk.GetImageFromArray(values.astype(np.float32)))
    assert not found.trusted
    assert reason in found.reason


def test_one_slice_is_right_or_not_trusted(subject, scans, tmp_path):
    found = register_rigid(scans["T1c"], scans["T2"][:, :, 30:31])
    assert not found.trusted or errors(found.transform, truth_of(subject, "T2", tmp_path)).mean() < 3


def test_thick_oblique_slices(subject, scans, tmp_path):
    """0.9 x 0.9 x 5.5 mm, turned by 20 degrees about each axis."""
    image = scans["T2"]
    grid = sitk.Euler3DTransform((0.0, 0, 0), 0.35, -0.35, 0.35)
    spacing, size = (0.9, 0.9, 5.5), (230, 230, 36)
    direction = np.array(grid.GetMatrix()).reshape(3, 3)
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    origin = np.array(centre) - direction @ ((np.array(size) - 1) / 2 * spacing)
    thick = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, origin.tolist(), spacing, direction.ravel().tolist(), np.nan
    )
    found = register_rigid(scans["T1c"], thick)
    assert found.trusted, found.reason
    assert errors(found.transform, truth_of(subject, "T2", tmp_path)).max() < 1.5


def test_whole_numbers_and_infinities_are_read(scans):
    whole = sitk.Cast(scans["T2"], sitk.sitkInt16)
    values = sitk.GetArrayFromImage(scans["T2"]).round()
    values[0] = np.inf
    odd = sitk.GetImageFromArray(values)
    odd.CopyInformation(whole)
    one, other = (register_rigid(scans["T1c"], image).transform for image in (whole, odd))
    assert errors(one, other).max() < 1.0


def test_heads_of_two_people_are_not_trusted(scans):
    other = make_subject(2, 11).scan("T2", "small")
    found = register_rigid(scans["T1c"], to_image(other.values, other.grid.affine))
    assert not found.trusted


def test_no_heavy_import_on_the_way():
    """The torch engine alone: ITK takes 9 s to import, MONAI and scipy 2."""
    code = (
        "import sys; import numpy as np; import SimpleITK as sitk; from polyscan.registration import register_rigid\n"
        "image = sitk.GetImageFromArray(np.random.default_rng(0).random((20, 20, 20), dtype=np.float32))\n"
        "register_rigid(image, image)\n"
        "print([name for name in ('itk', 'monai', 'scipy') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_a_gpu(scans):
    there, again = (register_rigid(scans["T1c"], scans["T2"], device="cuda").transform for _ in range(2))
    here = register_rigid(scans["T1c"], scans["T2"]).transform
    assert there.GetParameters() == again.GetParameters()
    assert errors(there, here).max() < 0.1


def test_tensors_as_read_study_gives_them_are_taken_where_they_lie(scans, monkeypatch):
    given = []
    monkeypatch.setattr(register, "_register", lambda _, pyramids, *others: given.extend(p.volume for p in pyramids))
    tensors = [from_sitk(scans[name]) for name in ("T1c", "PET")]
    register_rigid(*tensors)
    for volume, tensor, name in zip(given, tensors, ("T1c", "PET"), strict=True):
        expected = Volume.of_image(scans[name])
        assert torch.equal(volume.values, expected.values)
        assert torch.equal(volume.table, expected.table)
        np.testing.assert_allclose(volume.to_point, expected.to_point, atol=1e-4)
        assert volume.values.data_ptr() == tensor.data_ptr()  # whole bodies are large


def test_tensors_of_two_channels(scans):
    both = torch.cat([from_sitk(scans["T1c"])] * 2)
    with pytest.raises(PolyscanError, match="3 dimensions and 2 values a voxel"):
        register_rigid(scans["T1c"], both)
