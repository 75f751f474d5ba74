"""The true volume lies in its interval as often as was promised, whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.errors import PolyscanError
from polyscan.inference import TaskCalibration, load_calibration
from polyscan.inference.volume_intervals import VolumeIntervals, volume_bounds


@pytest.mark.parametrize(("subjects", "coverage"), [(19, 0.9), (40, 0.9), (60, 0.8)])
def test_a_new_volume_lies_in_its_interval_as_often_as_was_promised(subjects, coverage):
    """And not much more often; tumours that are marked too small as a rule, and some not at all."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(3000):
        true = generator.lognormal(2, 1, subjects + 1)
        marked = true * generator.uniform(0.4, 1.2, subjects + 1) * (generator.random(subjects + 1) > 0.05)
        bounds = volume_bounds(marked[:-1], true[:-1], range(subjects), coverage)
        intervals = VolumeIntervals(coverage, {"tumour": {"1": bounds}})
        low, high = intervals({"tumour": marked[-1]}, [True])["tumour"]
        held.append(low - 1e-3 <= true[-1] <= high + 1e-3)
    error = 3 * np.std(held) / np.sqrt(len(held))
    assert coverage - error < np.mean(held) < coverage + 3 / (subjects + 1) + error


def test_bounds_by_hand_and_a_subject_counts_once():
    """Cube roots are 1 too long, right, and 1 and 2 too short; each bound leaves a quarter of one subject more."""
    marked, true = [8.0, 1.0, 1.0, 1.0], [1.0, 1.0, 8.0, 27.0]
    assert volume_bounds(marked, true, list("abcd"), 0.6) == pytest.approx((1.0, 2.0))
    assert volume_bounds(marked, true, list("abcd"), 0.2) == pytest.approx((0.0, 1.0))
    assert volume_bounds(marked, true, list("abcd"), 0.9) == (np.inf, np.inf)
    assert volume_bounds(marked, true, list("abcc"), 0.5) == pytest.approx((1.0, 2.0))
    assert volume_bounds(marked, true, list("abcc"), 0.2) == pytest.approx((1.0, 1.0))  # half a subject may exceed it


def test_each_pattern_has_bounds_of_its_own_and_what_has_none_no_interval():
    bounds = {"tumour": {"11": (1.0, 2.0), "10": (5.0, 6.0)}, "core": {"10": (0.5, -0.25)}}
    intervals = VolumeIntervals(0.9, bounds)
    assert intervals({"tumour": 27.0, "core": 1.0, "new": 3.0}, [True, True]) == {"tumour": (8.0, 125.0)}
    told = intervals({"tumour": 27.0, "core": 1.0}, [True, False])
    assert told == {"tumour": (0.0, 729.0), "core": (0.125, 0.422)}  # the core is marked too large, as it always was
    assert intervals({"tumour": 27.0}, [False, True]) == {}


def test_a_file_holds_for_the_settings_that_it_was_made_with(tmp_path):
    intervals = VolumeIntervals(0.9, {"tumour": {"1": (1.0, 2.0)}}, {"threshold": 0.5, "mirror": False})
    made = TaskCalibration({}, ["CT"], {}, {}, "w", volumes=intervals)
    made.save(tmp_path / "calibration.json")
    assert load_calibration(tmp_path / "calibration.json", {}, ["CT"], "w", intervals.settings) == made
    with pytest.raises(PolyscanError, match=r"made with threshold 0\.5, mirror False, not threshold 0\.3, mirror Fal"):
        load_calibration(tmp_path / "calibration.json", {}, ["CT"], "w", {"threshold": 0.3, "mirror": False})
