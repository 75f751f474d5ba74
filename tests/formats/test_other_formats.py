"""Volumes of every format that is read lie in the same place with the same values."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from polyscan.discovery.read_study import read_study
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.endings import is_volume, parts_of
from polyscan.formats.read import open_volume, read_image, read_label, read_volume
from polyscan.geometry import to_sitk
from polyscan.preprocess.kept import _beside

VALUES = np.random.default_rng(0).normal(100, 20, (5, 6, 7)).astype(np.float32)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [10, -20, 30], degrees=True).as_matrix() * [-1.0, 1.5, 2.0]
AFFINE[:3, 3] = [12, -34, 56]
KINDS = ["nii", "NII.GZ", "img", "hdr", "img.gz", "mgz", "mgh", "nrrd", "nhdr", "mha", "mhd"]


def write(path, values=VALUES, affine=AFFINE):
    """Write a volume as its ending says, by nibabel or SimpleITK."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.lower()
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        sitk.WriteImage(to_sitk(MetaTensor(torch.from_numpy(values[None]), affine=torch.from_numpy(affine))), str(path))
        return path
    kinds = {"mg": nibabel.MGHImage, "im": nibabel.Nifti1Pair, "hd": nibabel.Nifti1Pair, "ni": nibabel.Nifti1Image}
    nibabel.save(kinds[name.split(".", 1)[1][:2]](values, affine), path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_one_volume_found_and_read(tmp_path, kind):
    path = write(tmp_path / "ward" / "anna" / f"T1.{kind}")
    found = scan(tmp_path / "ward")
    (study,) = found.studies
    image = read_image(study.scans["T1"].source, "T1")
    np.testing.assert_allclose(image[0].numpy(), VALUES, rtol=1e-6)
    np.testing.assert_allclose(image.affine.numpy(), AFFINE, atol=1e-4)
    assert image.meta["problems"] == []
    accounted = {
        study.scans["T1"].path,
        *(str(tmp_path / "ward" / e.series) for e in found.left_out),
    }
    assert accounted == {str(file) for file in path.parent.iterdir()}
    other = [str(part) for part in parts_of(path)]
    assert set(other) <= set(_beside([str(path)]))  # so that a change of it is noticed
    assert len(other) == len(accounted) - 1


def test_halves_without_the_other_are_no_volumes(tmp_path):
    write(tmp_path / "anna" / "T1.nii")
    for name in ("a.hdr", "b.img", "c.img.gz"):
        (tmp_path / "anna" / name).write_bytes(b"x")
        assert not is_volume(tmp_path / "anna" / name)
    reasons = {entry.series: entry.reason for entry in scan(tmp_path).left_out}
    assert ".img is not beside it" in reasons["anna/a.hdr"]
    assert ".hdr is not beside it" in reasons["anna/b.img"]


def test_what_a_header_leaves_open_is_said(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VALUES, None), tmp_path / "T1.img")
    assert "which side is left" in read_volume(tmp_path / "T1.hdr").meta["problems"][0]
    write(tmp_path / "a.nhdr")
    text = (tmp_path / "a.nhdr").read_text()
    (tmp_path / "b.nhdr").write_text(text.replace("space: left-posterior-superior", "space dimension: 3"))
    assert "names no space" in read_volume(tmp_path / "b.nhdr").meta["problems"][0]
    ras = text.replace("left-posterior-superior", "right-anterior-superior")
    (tmp_path / "c.nhdr").write_text(ras)
    mirrored = np.diag([-1, -1, 1, 1]) @ AFFINE
    np.testing.assert_allclose(open_volume(tmp_path / "c.nhdr").affine, mirrored, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("space directions:", 'space units: "cm" "cm" "cm"\nspace directions:', "has space units cm"),
        ("space directions: (", "space directions: none (", "has an axis without a direction"),
    ],
)
def test_what_itk_passes_over_in_a_header_is_refused(tmp_path, old, new, says):
    write(tmp_path / "a.nhdr")
    text = (tmp_path / "a.nhdr").read_text()
    first = text.partition("space directions: ")[2].partition(")")[0] + ") "
    changed = text.replace(old, new).replace(f"none {first}", "none ")
    assert changed != text
    (tmp_path / "a.nhdr").write_text(changed)
    with pytest.raises(PolyscanError, match=says):
        read_volume(tmp_path / "a.nhdr")


def test_a_volume_that_ends_early_is_not_said_to_be_absent(tmp_path):
    write(tmp_path / "a.mha")
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:-9])
    with pytest.raises(PolyscanError, match=r"File cannot be read: a\.mha") as error:
        read_volume(tmp_path / "a.mha")
    assert "No such file" not in str(error.value)


def test_a_sheared_nrrd_is_resampled(tmp_path):
    write(tmp_path / "a.nhdr", affine=np.eye(4))
    text = (tmp_path / "a.nhdr").read_text()
    start, _, rest = text.partition("space directions: ")
    (tmp_path / "a.nhdr").write_text(start + "space directions: (1,0.3,0) (0,1,0) (0,0,1)\n" + rest.split("\n", 1)[1])
    image = read_image(str(tmp_path / "a.nhdr"), "T1")
    assert "not perpendicular" in image.meta["problems"][0]
    to_sitk(image)  # which takes rectangular grids only


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha"])
def test_several_volumes_in_one_file_are_said_at_the_scan(tmp_path, name):
    stack = np.stack([VALUES, VALUES + 1], -1)
    (tmp_path / "anna").mkdir()
    path = tmp_path / "anna" / f"T1_{name}"
    if name.endswith("mha"):
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(v.transpose()) for v in (VALUES, VALUES)]), str(path))
    else:
        nibabel.save(nibabel.Nifti1Image(stack, AFFINE), path)
    write(tmp_path / "anna" / "T2.nii.gz")
    (study,) = scan(tmp_path).studies
    (left,) = [decision for decision in study.decisions if not decision.taken]
    assert list(study.scans) == ["T2"]
    assert "2 volumes" in left.reason or "expected one 3D volume" in left.reason


def test_one_of_several_volumes_is_named_by_its_number(tmp_path):
    stack = np.stack([VALUES, VALUES + 1, VALUES + 2], -1)
    nibabel.save(nibabel.Nifti1Image(stack, AFFINE), tmp_path / "all.nii.gz")
    np.testing.assert_allclose(read_image(f"{tmp_path}/all.nii.gz#2", "T1")[0].numpy(), VALUES + 1, rtol=1e-6)
    for number in (0, 4):
        with pytest.raises(PolyscanError, match=f"number {number} is none"):
            read_image(f"{tmp_path}/all.nii.gz#{number}", "T1")


def test_colours_vectors_and_damage_are_one_sentence(tmp_path):
    colour = sitk.Compose(*[sitk.GetImageFromArray(VALUES)] * 3)
    sitk.WriteImage(colour, str(tmp_path / "colour.nrrd"))
    write(tmp_path / "cut.nrrd")
    (tmp_path / "cut.nrrd").write_bytes((tmp_path / "cut.nrrd").read_bytes()[:700])
    write(tmp_path / "alone.mhd")
    (tmp_path / "alone.raw").unlink()
    (tmp_path / "text.nrrd").write_text("no image")
    for name in ("colour.nrrd", "cut.nrrd", "alone.mhd", "text.nrrd", "absent.mha"):
        with pytest.raises(PolyscanError, match=name):
            read_volume(tmp_path / name)


def test_a_mask_lies_on_the_scan_of_its_grid(tmp_path):
    """Its name, as lesion_seg, does not say which scan it was drawn on; its voxels do."""
    finer = AFFINE @ np.diag([0.5, 0.5, 0.5, 1])
    write(tmp_path / "anna" / "T1.nii.gz")
    write(tmp_path / "anna" / "FLAIR.nrrd", affine=finer)
    write(tmp_path / "anna" / "lesion_seg.nii.gz", (VALUES > 110).astype(np.float32), finer)
    write(tmp_path / "bert" / "T1.nii.gz")
    write(tmp_path / "bert" / "seg.nrrd", (VALUES > 110).astype(np.float32), AFFINE @ np.diag([2, 1, 1, 1.0]))
    anna, bert = sorted(scan(tmp_path).studies, key=lambda study: study.subject)
    assert anna.label.drawn_on == "FLAIR"
    (said,) = [d for d in anna.decisions if d.modality == "label on FLAIR"]
    assert said.reason == "it lies on the grid of FLAIR"
    assert read_label(anna.label, read_study(tmp_path / "anna")["FLAIR"]).sum() == (VALUES > 110).sum()
    assert not bert.label
    assert any("grid of none" in d.reason for d in bert.decisions)
