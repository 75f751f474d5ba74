"""What is measured on the masks of a heart, on made ones whose measures are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cohorts import make
from heart import (
    CAVITY,
    RIGHT,
    SECTORS,
    WALL,
    dice,
    frames_of,
    main,
    masks_of,
    measure,
    measured,
    of_frame,
    of_image,
    of_pair,
    sectors,
)
from test_cohorts import acdc

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json
from polyscan.formats.nifti import read_nifti
from polyscan.study import Label, PredictionRecord
from polyscan.study.manifest import read_manifest


def heart(radius, thickness, slices=4, right=0):
    """(x, y, z): a round cavity in a wall of one thickness, and beside it some voxels of the right ventricle."""
    x, y = np.indices((80, 80)) - 40.0
    distance = np.hypot(x, y)
    mask = np.where(distance < radius, CAVITY, np.where(distance < radius + thickness, WALL, 0))
    mask[:right, 0] = RIGHT
    return np.repeat(mask[..., None], slices, axis=2)


def test_radius_and_thickness_of_a_ring_are_found_in_every_sector():
    radii, thick = sectors(heart(20, 8)[..., 0])
    assert radii.shape == thick.shape == (SECTORS,)
    np.testing.assert_allclose(radii, 20, rtol=0.04)
    np.testing.assert_allclose(thick, 8, rtol=0.03)


def test_measures_are_ratios():
    told = of_frame(heart(20, 8, right=40))
    wall, cavity = 28**2 - 20**2, 20**2
    assert told["log_wall_by_cavity"] == pytest.approx(np.log(wall / cavity), abs=0.02)
    assert told["log_right_by_left"] == pytest.approx(np.log(40 / (np.pi * cavity)), abs=0.02)
    assert told["log_thickness"] == pytest.approx(np.log(8 / 20), abs=0.03)
    assert told["thickest_by_mean"] == pytest.approx(1, abs=0.05)
    twice = of_frame(heart(20, 8, slices=8, right=40))
    assert told == pytest.approx(twice, abs=1e-6)


def test_a_pair_tells_what_was_ejected_and_where_the_wall_stood_still():
    before, after = heart(20, 8, right=40), heart(14, 11, right=30)
    told = of_pair(before, after)
    assert told["left_ejected"] == pytest.approx(1 - 14**2 / 20**2, abs=0.02)
    assert told["right_ejected"] == pytest.approx(0.25)
    assert told["thickened"] == pytest.approx(11 / 8 - 1, abs=0.06)
    assert told["moved_uneven"] == pytest.approx(0, abs=0.02)
    still = after.copy()
    half = np.indices(still.shape)[0] < 40
    still[half] = before[half]
    assert of_pair(before, still)["moved_uneven"] > 3 * told["moved_uneven"]


def test_a_part_that_nobody_drew_has_no_dice():
    truth = heart(20, 8)
    found = heart(20, 8, right=40)
    right, wall, cavity = dice({"ED": found}, {"ED": truth})[:3]
    assert np.isnan(right)
    assert wall > 0.9
    assert cavity == 1


def test_without_a_cavity_only_volumes_are_told():
    nothing = np.zeros((8, 8, 2), int)
    assert set(of_frame(nothing)) == {"log_wall_by_cavity", "log_right_by_left"}
    assert of_pair(nothing, heart(5, 2)[:8, :8, :2])["left_ejected"] <= 0
    assert of_image(np.ones((8, 8, 2)), nothing) == {}


def test_frames_are_parted_and_measured_with_their_patient_and_fold(tmp_path):
    make("acdc_ed_es", acdc(tmp_path), tmp_path / "cohort", folds=2, jobs=1)
    study = read_manifest(tmp_path / "cohort" / "manifest.json").studies[0]
    frames = frames_of(study, tmp_path)
    assert [(f.subject, f.session, f.fold) for f in frames] == [(study.subject, t, study.fold) for t in ("ED", "ES")]
    cavity = [int((read_nifti(frame.label.mask) == 3).sum()) for frame in frames]
    assert cavity == [25, 9]
    found = measured(study, masks_of(study, {}), tmp_path)
    assert found.label.mask is None
    assert found.label.tasks == {"diagnosis": "DCM"}
    assert read_json(found.scans["change"].path)["left_ejected"] == pytest.approx(1 - 9 / 25, abs=1e-4)


def test_a_part_without_masks_is_measured_by_answers_alone(tmp_path, capsys):
    make("acdc_ed_es", acdc(tmp_path), tmp_path / "cohort", folds=2, jobs=1)
    drawn, blind = read_manifest(tmp_path / "cohort" / "manifest.json").studies[:2]
    told = {
        (frame.subject, frame.session): replace(frame, prediction=PredictionRecord(frame.label.mask))
        for frame in [*frames_of(drawn, tmp_path), *frames_of(blind, tmp_path)]
    }
    blind = replace(blind, label=Label(tasks=blind.label.tasks))
    assert [frame.label.mask for frame in frames_of(blind, tmp_path)] == [None, None]
    found = measure([drawn, blind], told, tmp_path / "tables")
    assert "Dice of 1 studies: RV ED" in capsys.readouterr().out
    assert all("left_ejected" in read_json(study.scans["change"].path) for study in found)
    del told[blind.subject, "ES"]
    with pytest.raises(PolyscanError, match="lacks the mask of ES"):
        measure([drawn, blind], told, tmp_path / "tables")
    del blind.scans["CINE@2"]
    assert [frame.session for frame in frames_of(blind, tmp_path)] == ["ED"]
    (found,) = measure([blind], told, tmp_path / "tables")
    assert {"end_diastole", "appearance"} == {name for name in found.scans if "CINE" not in name}


def test_frames_keep_the_section_of_their_study(tmp_path, monkeypatch):
    make("acdc_ed_es", acdc(tmp_path), tmp_path / "cohort", jobs=1, testing=True)
    monkeypatch.setattr("sys.argv", ["heart.py", "frames", str(tmp_path / "cohort/manifest.json"), str(tmp_path / "f")])
    main()
    manifest = read_manifest(tmp_path / "f" / "manifest.json")
    assert (len(manifest.testing), len(manifest.training)) == (10, 0)
