"""A mask goes back to each scan's own grid by the inverse of its registration, whatever way the scan lies."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from scipy.spatial.transform import Rotation

from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.preprocess.native import to_native, write_native
from polyscan.study import Grid, PredictionRecord, Preparation, RegistrationRecord, Study, scans_of
from polyscan.study.manifest import Manifest, write_manifest

LPS = np.diag([-1.0, -1, 1, 1])


def affine(
    axes=(0, 1, 2), flips=(1, 1, 1), angles=(0, 0, 0), spacing=(1.0, 1.0, 1.0), centre=(5, -7, 11), size=(24, 24, 24)
):
    """A grid about a centre (RAS+), its axes in any order and direction, turned by angles in degrees."""
    out = np.eye(4)
    turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.eye(3)[:, list(axes)]
    out[:3, :3] = turned * np.asarray(flips) * np.asarray(spacing)
    out[:3, 3] = np.asarray(centre) - out[:3, :3] @ ((np.asarray(size) - 1) / 2)
    return out


def image(values, where):
    return MetaTensor(torch.from_numpy(values[None]), affine=torch.from_numpy(where))


def a_mask(size=(24, 24, 24)):
    """Two labels without any symmetry."""
    out = np.zeros(size, np.uint8)
    out[4:15, 6:20, 9:18], out[6:9, 8:12, 10:16] = 1, 2
    return out


def by_hand(mask, mask_affine, shape, grid_affine, transform):
    """The label of the nearest voxel of the mask, point by point: an independent version."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
    points = index @ grid_affine[:3, :3].T + grid_affine[:3, 3]
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(transform.GetMatrix(), (3, 3))
    centre = np.asarray(transform.GetCenter())
    matrix[:3, 3] = np.asarray(transform.GetTranslation()) + centre - matrix[:3, :3] @ centre
    to_mask = np.linalg.inv(mask_affine) @ LPS @ np.linalg.inv(matrix) @ LPS
    where = points @ to_mask[:3, :3].T + to_mask[:3, 3]
    voxel = np.rint(where).astype(int)
    inside = ((voxel >= 0) & (voxel < mask.shape)).all(1)
    out = np.zeros(len(voxel), np.uint8)
    out[inside] = mask[tuple(voxel[inside].T)]
    # Where a centre lies half-way between two voxels either is right.
    near = np.abs(np.abs(where - np.floor(where)) - 0.5).min(1) < 1e-3
    return out.reshape(shape), near.reshape(shape)


GRIDS = {
    "the same": {},
    "flipped": {"flips": (-1, 1, -1)},
    "other axes": {"axes": (2, 0, 1), "flips": (1, -1, 1)},
    "oblique": {"angles": (12, -25, 33)},
    "oblique, flipped, thick": {
        "axes": (1, 2, 0),
        "flips": (-1, -1, 1),
        "angles": (40, 10, -70),
        "spacing": (0.8, 1.1, 4),
    },
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("reference", ["the same", "oblique, flipped, thick"])
def test_a_known_transform_is_undone_exactly(tmp_path, grid, reference):
    transform = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.3, -0.2, 0.5, (4.0, -6.0, 3.0))
    sitk.WriteTransform(transform, str(tmp_path / "x.tfm"))
    size = (20, 26, 15)
    mask, own = affine(**GRIDS[reference]), affine(**GRIDS[grid], size=size)
    found = to_native(image(a_mask(), mask), image(np.zeros(size, np.float32), own), tmp_path / "x.tfm")
    expected, either = by_hand(a_mask(), mask, size, own, transform)
    assert found.shape == (1, *size)
    np.testing.assert_array_equal(found.affine.numpy(), own)
    assert (expected > 0).sum() > 50
    assert ((found[0].numpy() == expected) | either).all()


@pytest.fixture
def answered(tmp_path):
    """A study with a prediction on T1's grid, and T2 that lay 5 mm off."""
    images, grids = {}, {}
    for name, where in {"T1": affine(), "T2": affine(**GRIDS["oblique"])}.items():
        images[name] = str(tmp_path / "scans" / f"{name}.nii.gz")
        write_nifti(images[name], image(np.ones((24, 24, 24), np.float32), where))
        grids[name] = Grid([24, 24, 24], where.tolist())
    write_nifti(tmp_path / "out" / "p.nii.gz", image(a_mask(), affine()))
    sitk.WriteTransform(sitk.TranslationTransform(3, (0.0, 5.0, 0.0)), str(tmp_path / "out" / "t.tfm"))
    registered = {"T2": RegistrationRecord(True, "fits", str(tmp_path / "out" / "t.tfm"))}
    preparation = Preparation("brain_mri", "T1", grids=grids, registrations=registered)
    prediction = PredictionRecord(str(tmp_path / "out" / "p.nii.gz"))
    return Study("anna", scans=scans_of(images), preparation=preparation, prediction=prediction)


def test_every_scan_gets_its_mask(answered, tmp_path, capsys):
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(testing=[answered]))
    assert main(["native", str(tmp_path / "out"), "-o", str(tmp_path / "native")]) == 0
    assert "2 files of 1 studies" in capsys.readouterr().out
    first, second = (read_nifti(tmp_path / "native" / f"sub-anna_space-{name}_dseg.nii.gz") for name in ("T1", "T2"))
    np.testing.assert_array_equal(first[0], a_mask())
    centre = [
        np.argwhere(m[0].numpy() > 0).mean(0) @ np.asarray(m.affine)[:3, :3].T + np.asarray(m.affine)[:3, 3]
        for m in (first, second)
    ]
    np.testing.assert_allclose(centre[1] - centre[0], [0, -5, 0], atol=0.3)  # + 5 mm in LPS is - 5 mm in RAS


def test_no_scan_is_read(answered, tmp_path):
    shutil.rmtree(tmp_path / "scans")
    assert list(write_native(Manifest(testing=[answered]), tmp_path / "native").files["sub-anna"]) == ["T1", "T2"]
    index = json.loads((tmp_path / "native" / "native.json").read_text())
    assert index["files"]["sub-anna"]["T2"] == "sub-anna_space-T2_dseg.nii.gz"
    with pytest.raises(PolyscanError, match="No study has a predicted mask"):
        write_native(Manifest(testing=[Study("bert")]), tmp_path / "other")
    with pytest.raises(PolyscanError, match="apart from the scans"):
        write_native(Manifest(testing=[answered]), tmp_path / "out" / "native")
