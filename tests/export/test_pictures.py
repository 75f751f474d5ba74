"""Fused pictures: what is seen of which scan, and the surgical map as a volume that others read."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from polyscan.cli import main
from polyscan.dicom.read import read_series
from polyscan.errors import PolyscanError
from polyscan.export.blends import checkerboard, composite, overlay, surgical_map
from polyscan.export.pictures import three_planes, write_pictures
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.geometry import FLIP
from polyscan.study import Preparation, Scan, Study, scans_of
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.study.sources import Sources, StudySources, write_sources

CT = np.full((8, 8, 8), 40.0, np.float32)
CT[:4] = 900
PET = np.zeros((8, 8, 8), np.float32)
PET[:, :4] = 10


def test_blends():
    over = overlay({"CT": CT, "PET": PET})
    np.testing.assert_allclose(over[6, 6, 0], 0.5, atol=0.01)  # the CT's own grey, (40 + 160) / 400
    assert over[6, 0, 0, 0] > over[6, 0, 0, 2] + 0.2  # uptake is warm
    red, green, blue = composite({"CT": CT, "PET": PET})[0, 7, 0]
    assert (red, green, blue) == (1.0, 0.0, 0.0)
    board = checkerboard({"CT": CT, "PET": PET})
    assert board[0, 4, 0, 0] == board[2, 7, 0, 0] == 1.0  # CT
    assert board[0, 7, 0, 0] == 0.0  # PET
    assert set(np.unique(board[:4, 4:])) == {0.0, 1.0}


def test_surgical_map_holds_bone_over_soft_tissue():
    affine = torch.eye(4, dtype=torch.float64)
    soft = np.linspace(0, 1, 512, dtype=np.float32).reshape(8, 8, 8)
    soft[:, :, 7] = np.nan
    joint = surgical_map(*(MetaTensor(torch.from_numpy(each[None]), affine=affine) for each in (CT, soft)))[0].numpy()
    np.testing.assert_array_equal(joint[:4], 1600)
    assert (joint[4:, :, 7] == 0).all()
    inside = joint[4:, :, :7].ravel()
    assert inside.min() >= 1
    assert inside.max() == 1000
    assert (np.diff(inside) >= 0).all()
    other = MetaTensor(torch.zeros(1, 3, 3, 3), affine=affine)
    with pytest.raises(PolyscanError, match="different grids"):
        surgical_map(other, MetaTensor(torch.zeros(1, 4, 3, 3), affine=affine))


def test_planes_lie_as_a_radiologist_sees_them():
    pixels = np.zeros((10, 10, 10, 3), np.uint8)
    pixels[0, 0, 9] = 255  # the patient's right, front, head
    axial, coronal, sagittal = np.split(
        np.asarray(three_planes(pixels, np.ones(3), [0, 0, 9]))[:, :1264], [420, 844], 1
    )
    for picture in (axial, coronal[:, 4:], sagittal[:, 4:]):
        assert picture[:30, :30].mean() > 100
        assert picture[60:150, 60:150].mean() < 1


@pytest.fixture
def prepared(make_series, tmp_path):
    """A study whose CT is an oblique DICOM series, with an MR on its grid."""
    angle = np.deg2rad(20)

    def change(k, ds):
        ds.ImageOrientationPatient = [np.cos(angle).round(9), np.sin(angle).round(9), 0, 0, 0, -1]
        ds.ImagePositionPatient = [
            *(np.array([-10, -20, 5]) + 3 * k * np.array([-np.sin(angle), np.cos(angle), 0])).round(6)
        ]
        ds.RescaleIntercept, ds.RescaleSlope = -500, 30
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200101", "100000", "1", ""
        ds.PatientBirthDate, ds.PatientSex, ds.ReferringPhysicianName = "", "O", ""

    series = make_series("CT", change=change)
    ct = read_series(series)
    folder = tmp_path / "prepared"
    write_nifti(folder / "CT.nii.gz", MetaTensor(ct.as_tensor().to(torch.float32), affine=ct.affine))
    mr = torch.arange(ct.numel(), dtype=torch.float32).reshape(ct.shape)
    write_nifti(folder / "T1.nii.gz", MetaTensor(mr, affine=ct.affine))
    scans = {name: Scan(str(folder / f"{name}.nii.gz")) for name in ("CT", "T1")}
    study = Study("a", scans=scans, preparation=Preparation("default", "CT"))
    write_manifest(folder / "manifest.json", Manifest(testing=[study]))
    write_sources(folder, Manifest(testing=[Study("a", scans=scans_of({"CT": str(series)}))]))
    return folder, study, series


def test_surgical_map_lies_on_the_series_for_other_readers(prepared, tmp_path, capsys):
    highdicom = pytest.importorskip("highdicom")
    folder, _, _ = prepared
    assert main(["picture", str(folder), "-o", str(tmp_path / "out"), "--surgical", "CT", "T1"]) == 0
    assert "3 files of 1 studies" in capsys.readouterr().out
    kept = read_nifti(tmp_path / "out" / "sub-a_surgical.nii.gz")
    assert kept.max() > 1000
    volume = highdicom.imread(tmp_path / "out" / "sub-a_surgical.dcm").get_volume()
    where = np.argwhere(volume.array > -1)
    points = where @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    back = np.linalg.inv(FLIP @ np.asarray(kept.affine))
    voxels = np.rint(points @ back[:3, :3].T + back[:3, 3])
    np.testing.assert_allclose(points @ back[:3, :3].T + back[:3, 3], voxels, atol=1e-3)
    np.testing.assert_array_equal(kept[0].numpy()[tuple(voxels.astype(int).T)], volume.array.ravel())
    if shutil.which("dciodvfy"):
        call = ["dciodvfy", str(tmp_path / "out" / "sub-a_surgical.dcm")]
        told = subprocess.run(call, capture_output=True, text=True, check=False)
        assert not [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")]


def test_surgical_map_has_what_its_modules_ask_for(prepared, tmp_path, check_modules):
    assert main(["picture", str(prepared[0]), "-o", str(tmp_path / "out"), "--surgical", "CT", "T1"]) == 0
    check_modules([tmp_path / "out" / "sub-a_surgical.dcm"])


def test_pictures_of_a_folder(prepared, tmp_path):
    _, study, _ = prepared
    torn = Study("b", scans={"CT": study.scans["CT"]})
    out = write_pictures(Manifest(testing=[study, torn]), tmp_path / "out", "overlay", ["CT", "T1"], gif=True)
    assert out.files["sub-a"] == {".png": "sub-a_overlay.png", ".gif": "sub-a_overlay.gif"}
    assert Image.open(tmp_path / "out" / "sub-a_overlay.gif").n_frames > 1
    assert [(each.study, each.reason) for each in out.failed] == [("sub-b", "it has no T1; it has CT.")]
    with pytest.raises(PolyscanError, match="takes 2 different scans; found CT, CT"):
        write_pictures(Manifest(testing=[study]), tmp_path / "out", "overlay", ["CT", "CT"])
    with pytest.raises(PolyscanError, match="has no study sub-z;"):
        write_pictures(Manifest(testing=[study]), tmp_path / "out", "overlay", ["CT", "T1"], only=["sub-a", "sub-z"])


def test_what_is_doubted_of_a_scan_stands_beneath_its_picture(prepared, tmp_path):
    _, study, _ = prepared
    doubted = Preparation("default", "CT", problems={"CT": "was never acquired: a network made it of T1"})
    made = replace(study, subject="b", preparation=doubted)
    both = Manifest(testing=[study, made])
    write_pictures(both, tmp_path / "out", "overlay", ["CT", "T1"], gif=True)
    for ending in ("png", "gif"):
        plain, warned = (Image.open(tmp_path / "out" / f"sub-{name}_overlay.{ending}").convert("RGB") for name in "ab")
        assert warned.height > plain.height
        assert np.asarray(warned)[plain.height :].max() > 200
        np.testing.assert_allclose(np.asarray(warned)[: plain.height], np.asarray(plain), atol=40 * (ending == "gif"))
    out = write_pictures(both, tmp_path / "map", "surgical", ["CT", "T1"])
    reason = "its CT was never acquired, and a surgical map is of acquired scans alone."
    assert [(each.study, each.reason) for each in out.failed] == [("sub-b", reason)]


def test_no_dicom_without_a_series(prepared, tmp_path):
    _, study, _ = prepared
    sources = Sources(studies={"sub-a": StudySources({"CT": "scan.nii.gz"})})
    out = write_pictures(Manifest(testing=[study]), tmp_path / "out", "surgical", ["CT", "T1"], sources=sources)
    assert list(out.files["sub-a"]) == [".nii.gz", ".png"]
