"""What is wrong with one scan costs that scan, by name, and never the study."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import yaml
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.preprocess.bias import bias_field
from polyscan.preprocess.mask import foreground, same_outline
from polyscan.preprocess.normalize import Whitening, z_score
from polyscan.preprocess.prepare import prepare
from polyscan.study import Decision, Study, scans_of
from polyscan.study.manifest import Manifest

SHAPE = (24, 26, 12)


def step(name, **arguments):
    return {"_target_": f"polyscan.preprocess.{name}", **arguments}


def ball(shape=SHAPE, seed=0, level=300.0):
    """A bright ball in air, with noise."""
    distance = ((np.indices(shape).T - (np.array(shape) - 1) / 2) ** 2).sum(-1).T
    noise = np.abs(np.random.default_rng(seed).normal(0, 8, shape))
    return (np.where(distance < 100, level, 0) + noise).astype(np.float32)


def as_image(values, affine=None) -> MetaTensor:
    affine = np.eye(4) if affine is None else affine
    return MetaTensor(torch.from_numpy(np.ascontiguousarray(values)[None]), affine=torch.from_numpy(affine))


@pytest.fixture
def run(tmp_path):
    def run(scans, *steps, read=("T1", "T2", "PET"), brain_mask=None, **options):
        images = {}
        (tmp_path / "scans").mkdir(exist_ok=True)
        for name, (values, affine) in scans.items():
            images[name] = str(tmp_path / "scans" / f"{name}.nii.gz")
            write_nifti(images[name], as_image(values, affine))
        protocol = tmp_path / "own.yaml"
        reading = step("LoadScansd", modalities=list(read), reference=["T1"])
        protocol.write_text(yaml.safe_dump({"steps": [reading, *steps]}))
        study = Study("a", scans=scans_of(images), brain_mask=brain_mask)
        return prepare(Manifest(testing=[study]), tmp_path / "out", protocol=protocol, jobs=1, **options).studies[0]

    return run


def far(offset):
    affine = np.eye(4)
    affine[:3, 3] = offset
    return affine


@pytest.mark.parametrize("resolution", ["reference", "native", 2.0])
def test_a_scan_of_nothing_and_one_that_lies_elsewhere(run, resolution):
    scans = {
        "T1": (ball(), None),
        "T2": (np.full(SHAPE, np.nan, np.float32), None),
        "PD": (ball(seed=1), far([500.0, 0, 0])),
    }
    study = run(scans, step("Resampled", resolution=resolution), read=("T1", "T2", "PD"))
    assert list(study.scans) == ["T1"]
    assert study.preparation.problems["T2"].startswith("left out: ")
    assert study.preparation.problems["PD"] == "left out: nothing of it lies in the field of view of T1"


def test_a_constant_scan_is_left_out_after_n4_too(run):
    normal = [step("Resampled"), step("ForegroundMaskd"), step("BiasFieldd", keys=["T1", "T2"])]
    study = run(
        {"T1": (ball(), None), "T2": (np.full(SHAPE, 0.1, np.float32), None)},
        *normal,
        step("ZScored", keys=["T1", "T2"]),
    )
    assert list(study.scans) == ["T1"]
    assert "no contrast" in study.preparation.problems["T2"]


def test_an_empty_mask_is_said(run, tmp_path):
    empty = tmp_path / "masks" / "empty.nii.gz"
    empty.parent.mkdir()
    write_nifti(empty, as_image(np.zeros(SHAPE, np.uint8)))
    steps = [step("Resampled"), step("BrainMaskd"), step("BiasFieldd", keys=["T2"]), step("ZScored", keys=["T2"])]
    study = run({"T1": (ball(), None), "T2": (ball(seed=1), None)}, *steps, brain_mask=str(empty))
    assert list(study.scans) == ["T1"]
    assert "mask is empty" in study.preparation.problems["foreground"]
    assert "no voxel inside the body" in study.preparation.problems["T2"]
    with pytest.raises(PolyscanError, match=r"no scan is left: .*T1: left out"):
        run({"T1": (ball(), None)}, *steps[:2], step("ZScored", keys=["T1"]), brain_mask=str(empty))


def test_whitening_that_is_refused_changes_nothing(run):
    steps = [step("Resampled"), step("ForegroundMaskd"), step("ZCAWhiteningd", keys=["T1", "T2"])]
    study = run({"T1": (ball(), None), "T2": (2 * ball() + 1, None)}, *steps)
    assert sorted(study.scans) == ["T1", "T2"]
    assert "copy of others" in study.preparation.problems["T1"]
    np.testing.assert_allclose(read_nifti(study.scans["T1"].path)[0], ball(), atol=1e-3)
    study = run({"T1": (ball(), None), "T2": (np.ones(SHAPE, np.float32), None)}, *steps)
    assert "no contrast" in study.preparation.problems["T2"]
    assert study.preparation.problems["T1"] == "not whitened: T2 is missing"


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_whitening_does_not_depend_on_units(scale):
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(500, 120, (12,) * 3), rng.normal(1, 0.3, (12,) * 3)])
    mask = np.ones((12,) * 3, bool)
    expected = Whitening.fit(values, mask)(values)
    scaled = values * np.array([1, scale]).reshape(2, 1, 1, 1)
    whitening = Whitening.fit(scaled, mask)
    np.testing.assert_allclose(whitening(scaled), expected, atol=1e-4)
    np.testing.assert_allclose(whitening.inverse(whitening(scaled)), scaled, rtol=1e-3, atol=1e-3 * scale)
    with pytest.raises(PolyscanError, match="copy of others"):
        Whitening.fit(np.stack([values[0], scale * values[0]]), mask)


@pytest.mark.parametrize("slices", [1, 2, 3, 5])
def test_a_body_is_found_in_few_slices(slices):
    shape = (60, 60, slices)
    body = ((np.indices(shape)[:2].T - 29.5) ** 2).sum(-1).T < 20**2
    values = np.where(body, 300, 0) + np.abs(np.random.default_rng(0).normal(0, 8, shape))
    found = foreground(values.astype(np.float32))
    assert (found & body).sum() > 0.98 * body.sum()
    assert (found & ~body).sum() < 0.02 * body.sum()
    assert z_score(values, found)(values)[body].mean() == pytest.approx(0, abs=0.1)


def test_where_no_body_is_found_that_is_said(run):
    speckle = (np.indices(SHAPE).sum(0) % 2).astype(np.float32)
    study = run({"T1": (speckle, None)}, step("Resampled"), step("ForegroundMaskd"))
    assert study.preparation.problems["foreground"] == "no body was found in T1: all that was measured is taken"


def shaded(shape=(32, 32, 28)):
    """Tissue of three intensities under a smooth field; the field and the mask."""
    place = (np.indices(shape).T - (np.array(shape) - 1) / 2).T / (np.array(shape) / 2).reshape(3, 1, 1, 1)
    radius = np.sqrt((place**2).sum(0))
    field = np.exp(0.3 * np.sin(place[0]) + 0.2 * place[1])
    tissue = np.where(radius < 0.45, 300, np.where(radius < 0.75, 200, 100))
    noise = np.random.default_rng(0).normal(0, 3, shape)
    mask = radius < 0.9
    return (np.where(mask, tissue, 0) * field + noise).astype(np.float32), field, mask


@pytest.mark.parametrize("below", [None, 0, -30, -1000, 1e-6])
def test_one_voxel_does_not_undo_n4(below):
    values, field, mask = shaded()
    if below is not None:
        values[16, 16, 14] = below
    left = (field / bias_field(as_image(values, np.diag([6.0, 6, 6, 1])), mask))[mask]
    assert left.std() / left.mean() < 0.03
    assert field[mask].std() / field[mask].mean() > 0.1


def test_n4_does_not_darken_the_rim():
    _, _, mask = shaded((90, 90, 80))
    values = (200 + np.random.default_rng(0).normal(0, 2, mask.shape)).astype(np.float32)
    field = bias_field(as_image(values), mask)[mask]
    assert 0.99 < field.min() < field.max() < 1.01


def test_what_n4_cannot_be_fitted_to_is_refused():
    with pytest.raises(PolyscanError, match="no voxel inside"):
        bias_field(as_image(ball()), np.zeros(SHAPE, bool))
    with pytest.raises(PolyscanError, match="has 1 slices"):
        bias_field(as_image(ball()[..., :1]), np.ones((*SHAPE[:2], 1), bool))
    normalised = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32) - 0.5
    with pytest.raises(PolyscanError, match="is not positive"):
        bias_field(as_image(normalised), np.ones(SHAPE, bool))
    constant = np.full(SHAPE, 0.1, np.float32)
    assert (bias_field(as_image(constant), np.ones(SHAPE, bool)) == 1).all()
    two = bias_field(as_image(ball()[..., 5:7]), ball()[..., 5:7] > 100)
    assert np.isfinite(two).all()


@pytest.mark.parametrize("how", ["aligned", "registered"])
def test_what_is_registered_already_is_not_again(tmp_path, how):
    """T2 lies two voxels off; whoever says that it is registered is believed."""
    images = {}
    (tmp_path / "scans").mkdir()
    for name, values in {"T1": ball(), "T2": np.roll(ball(), 2, 0)}.items():
        images[name] = str(tmp_path / "scans" / f"{name}.nii.gz")
        write_nifti(images[name], as_image(values))
    protocol = tmp_path / "own.yaml"
    steps = [
        step("LoadScansd", modalities=["T1", "T2"], reference=["T1"]),
        step("RegisterRigidd", within_frame=True),
        step("Resampled"),
    ]
    protocol.write_text(yaml.safe_dump({"steps": steps}))
    study = Study("a", scans=scans_of(images), aligned=["T1", "T2"] if how == "aligned" else [])
    manifest = Manifest(testing=[study])
    (done,) = prepare(manifest, tmp_path / "out", protocol=protocol, registered=how == "registered", jobs=1).studies
    assert done.preparation.registrations == {}
    np.testing.assert_array_equal(read_nifti(done.scans["T2"].path)[0], np.roll(ball(), 2, 0))


def test_what_was_cut_out_with_one_mask_is_registered_already(run):
    """As in BraTS: the contrasts may differ in any way, exact zeros lie in the same places."""
    inside = ball() > 100
    values = np.random.default_rng(0).normal(50, 20, SHAPE).astype(np.float32)
    cut = {"T1": np.where(inside, ball(), 0), "T2": np.where(inside, values, 0)}
    assert same_outline(*cut.values())
    assert not same_outline(cut["T1"], np.roll(cut["T2"], 1, 0))  # it moved
    assert not same_outline(ball(), values)  # as acquired: air is not 0
    assert not same_outline(np.zeros(SHAPE), np.zeros(SHAPE))


def test_the_scans_of_an_atlas_space_are_registered_already(data):
    folder = data / "glioma_mri_native"
    names = ("t1", "t1c", "t2", "fla")
    stripped = [read_nifti(folder / "preproc_bet" / f"{name}.nii.gz")[0].numpy() for name in names]
    assert all(same_outline(stripped[0], other) for other in stripped[1:])
    native = [read_nifti(folder / "native" / f"{name}.nii.gz")[0].numpy() for name in ("t1", "t1c")]
    assert native[0].shape != native[1].shape or not same_outline(*native)


def test_a_scan_that_was_left_out_when_the_study_was_found_is_told(tmp_path):
    (tmp_path / "ward").mkdir()
    write_nifti(tmp_path / "ward" / "anna_T1.nii.gz", as_image(ball()))
    (tmp_path / "ward" / "anna_T2.nii.gz").write_bytes(b"no image")
    (tmp_path / "own.yaml").write_text(
        yaml.safe_dump({"steps": [step("LoadScansd", modalities=["T1", "T2"], reference=["T1"])]})
    )
    found = scan(tmp_path / "ward")
    found.studies[0].decisions.append(Decision("3", "CT", False, "CT, 13 slices; positions repeat"))
    (study,) = prepare(found, tmp_path / "out", protocol=tmp_path / "own.yaml", jobs=1).studies
    assert list(study.scans) == ["T1"]
    assert study.problems["T2"].startswith("left out: T2 cannot be read")
    assert study.problems["CT"] == "left out: CT, 13 slices; positions repeat"
    assert "anna" not in str(study.problems)
