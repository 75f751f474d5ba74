"""What is said of maps of attribution."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.report.marks import explained, within
from polyscan.study import AttributionRecord


def test_what_speaks_against_does_not_count_and_nothing_is_no_part():
    values = np.array([[[3.0, -5.0, 1.0, np.nan]]], dtype=np.float32)
    region = np.array([[[True, True, False, True]]])
    assert within(values, region) == pytest.approx(0.75)
    assert within(-np.abs(values), region) is None


def test_maps_of_one_answer_stand_together_and_keep_their_numbers():
    found = [
        AttributionRecord(method, target, answer)
        for method in ("gradcam:1", "integrated-gradients")
        for target, answer in (("tumour", None), ("grade", "IV"))
    ]
    tumour, grade = explained(found, {"tumour": "#f00"})
    assert (tumour["name"], tumour["colour"], [each["number"] for each in tumour["maps"]]) == ("tumour", "#f00", [0, 2])
    assert (grade["name"], grade["colour"]) == ("grade: IV", None)
    assert [each["told"] for each in grade["maps"]] == [
        "grade: IV, by Grad-CAM at level 1",
        "grade: IV, by integrated gradients",
    ]
