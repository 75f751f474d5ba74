"""Protocols other than those that come with polyscan, on a made head."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
import yaml
from monai.data import MetaTensor

from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.nifti import read_nifti, write_nifti
from polyscan.phantom.cohort import make_cohort
from polyscan.preprocess.bias import bias_field
from polyscan.preprocess.brain import brain_mask
from polyscan.preprocess.normalize import HistogramStandard
from polyscan.preprocess.prepare import prepare
from polyscan.preprocess.profiles import learn_profiles, load_profiles, out_of_distribution
from polyscan.study.manifest import read_manifest, write_manifest

READ = {"_target_": "polyscan.preprocess.LoadScansd", "modalities": ["T1c", "T2", "PET"], "reference": ["T1c"]}
REGISTER = {"_target_": "polyscan.preprocess.RegisterRigidd", "keep_untrusted": True}
BODY = {"_target_": "polyscan.preprocess.ForegroundMaskd"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "heads"
    make_cohort(folder, subjects=1, seed=5, modalities=("T1c", "T2", "PET"), missing=0.0, jobs=1)
    return scan(folder)


@pytest.fixture
def run(cohort, tmp_path):
    def run(*steps, manifest=None, **options):
        protocol = tmp_path / "own.yaml"
        protocol.write_text(yaml.safe_dump({"steps": list(steps)}))
        out = tmp_path / "out"
        (study,) = prepare(manifest or cohort, out, protocol=protocol, jobs=1, **options).studies
        return study, {name: read_nifti(scan.path) for name, scan in study.scans.items()}

    return run


def step(name, **arguments):
    return {"_target_": f"polyscan.preprocess.{name}", **arguments}


def inside(study, image):
    mask = read_nifti(study.preparation.foreground)[0].numpy() > 0
    values = image[0].numpy()
    return values[mask & np.isfinite(values)]


def test_finest_grid_union_and_equal_point_spread(run):
    _, images = run(
        READ,
        REGISTER,
        step("Resampled", resolution=2.0, field_of_view="union", point_spread={"T1c": 3, "PET": 6}),
        BODY,
    )
    shapes = {image.shape for image in images.values()}
    assert len(shapes) == 1
    np.testing.assert_allclose(np.linalg.norm(np.asarray(images["T1c"].affine)[:3, :3], axis=0), 2, atol=1e-4)
    assert np.isnan(images["T1c"].numpy()).any()  # the union is larger than any scan


def test_native_grids_meet_by_their_affines(run, cohort):
    _, images = run(READ, REGISTER, step("Resampled", resolution="native"), BODY, step("ZScored", keys=["T1c", "T2"]))
    before = read_nifti(cohort.studies[0].scans["T2"].path)
    assert images["T2"].shape == before.shape
    assert not np.allclose(np.asarray(images["T2"].affine), np.asarray(before.affine))
    assert abs(np.nanmean(images["T2"].numpy())) < 2


def test_intensity_steps_in_one_protocol(run, cohort, tmp_path):
    image = read_nifti(cohort.studies[0].scans["T1c"].path)
    standard = HistogramStandard.fit([(image[0].numpy(), image[0].numpy() > 50)])
    standard.save(tmp_path / "T1c.json")
    study, images = run(
        READ,
        REGISTER,
        step("Resampled", resolution=6.0),
        BODY,
        step("BiasFieldd", keys=["T1c", "T2"]),
        step("HistogramStandardized", standards={"T1c": str(tmp_path / "T1c.json")}),
    )
    assert 0 < np.median(inside(study, images["T1c"])) < 100


def test_whitening_step(run):
    study, images = run(READ, REGISTER, step("Resampled"), BODY, step("ZCAWhiteningd", keys=["T1c", "T2"]))
    mask = read_nifti(study.preparation.foreground)[0].numpy() > 0
    both = np.stack([images[name][0].numpy()[mask] for name in ("T1c", "T2")])
    np.testing.assert_allclose(np.cov(both[:, np.isfinite(both).all(0)]), np.eye(2), atol=1e-3)


def test_whitening_says_what_is_missing(run):
    study, _ = run(READ, REGISTER, step("Resampled"), BODY, step("ZCAWhiteningd", keys=["T1c", "FLAIR"]))
    assert study.preparation.problems["T1c"] == "not whitened: FLAIR is missing"


def test_normalising_without_a_mask_is_an_error(run):
    with pytest.raises(PolyscanError, match="normalises before it has a mask"):
        run(READ, step("Resampled"), step("ZCAWhiteningd", keys=["T1c", "T2"]))


def test_given_mask(run, cohort, tmp_path):
    image = read_nifti(cohort.studies[0].scans["T1c"].path)
    given = np.zeros(image.shape[1:], dtype=np.uint8)
    given[20:40, 20:40, 20:40] = 1
    mask = tmp_path / "masks" / "mask.nii.gz"  # apart from the outputs, as all sources
    write_nifti(mask, MetaTensor(torch.from_numpy(given[None]), affine=image.affine))
    write_manifest(tmp_path / "m.json", cohort)
    manifest = read_manifest(tmp_path / "m.json")
    steps = (READ, REGISTER, step("Resampled"), step("BrainMaskd", method="given"))
    with pytest.raises(PolyscanError, match="names no mask"):
        run(*steps, manifest=manifest)
    manifest.studies[0].brain_mask = str(mask)
    study, _ = run(*steps, manifest=manifest)
    np.testing.assert_array_equal(read_nifti(study.preparation.foreground)[0].numpy(), given)


def test_a_brain_tool_is_called_and_its_mask_read(cohort, tmp_path, monkeypatch):
    """A stand-in for SynthStrip's program, called as that one is, on a machine that has neither."""
    tool = tmp_path / "mri_synthstrip"
    tool.write_text(
        f"#!{sys.executable}\nimport sys, nibabel, numpy\n"
        "scan = nibabel.load(sys.argv[sys.argv.index('-i') + 1])\n"
        "mask = (scan.get_fdata() > 100).astype('uint8')\n"
        "nibabel.save(nibabel.Nifti1Image(mask, scan.affine), sys.argv[sys.argv.index('-m') + 1])\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    image = read_nifti(cohort.studies[0].scans["T1c"].path)
    np.testing.assert_array_equal(brain_mask(image, "synthstrip"), image[0].numpy() > 100)
    tool.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    with pytest.raises(PolyscanError, match="exit status 3"):
        brain_mask(image, "synthstrip")


def test_tools_that_are_not_installed_are_named(cohort):
    with pytest.raises(PolyscanError, match="hd-bet is not installed"):
        brain_mask(read_nifti(cohort.studies[0].scans["T1c"].path), "hd-bet")


def test_n4_removes_a_field_that_was_laid_on(cohort):
    scan = read_nifti(cohort.studies[0].scans["T1c"].path)
    coarser = torch.diag(torch.tensor([3.0, 3, 3, 1], dtype=scan.affine.dtype))  # N4 of 3 mm takes thirty times as long
    image = MetaTensor(scan.as_tensor()[:, ::3, ::3, ::3].clone(), affine=scan.affine @ coarser)
    values = image[0].numpy()
    mask = values > np.percentile(values, 60)
    x = np.linspace(-1, 1, values.shape[0])[:, None, None]
    laid = np.exp(0.4 * x) * np.ones_like(values)
    before = bias_field(image, mask)
    shaded = image.clone()
    shaded[0] = torch.from_numpy((values * laid).astype(np.float32))
    found = bias_field(shaded, mask) / before
    assert np.corrcoef(np.log(found[mask]), np.log(laid[mask]))[0, 1] > 0.95


def test_profiles_tell_what_is_unlike_the_training_scans(run, cohort, tmp_path):
    from dataclasses import replace

    steps = (READ, REGISTER, step("Resampled"), BODY)
    study, _ = run(*steps)
    rng = np.random.default_rng(0)

    def varied(factor):
        profiles = {n: [v * factor * rng.normal(1, 0.05) for v in p] for n, p in study.preparation.profiles.items()}
        return replace(study, preparation=replace(study.preparation, profiles=profiles))

    learnt = learn_profiles([varied(1) for _ in range(6)])
    assert out_of_distribution(study.preparation.profiles, learnt) == {}
    far = out_of_distribution(varied(5).preparation.profiles, learnt)
    assert set(far) == {"T1c", "T2", "PET"}
    with pytest.raises(PolyscanError, match="which polyscan train writes"):
        load_profiles(tmp_path)
    (tmp_path / "profiles.json").write_text('{"PET": {"mean": [1]}}')
    with pytest.raises(PolyscanError, match="holds no profiles"):
        run(*steps, like=tmp_path)
