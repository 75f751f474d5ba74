"""What a cohort knows beside its scans can be read in them: grade, IDH, response."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from polyscan.cli import main
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.phantom import make_cohort, make_slices
from polyscan.phantom.subject import follow_up, make_subject
from polyscan.study.manifest import read_manifest


def inside(subject, modality):
    """Mean of a map in the solid tumour."""
    found = subject.scan(modality, "small")
    label, _, grid = subject.truth(modality, "small")
    assert grid.shape == found.values.shape
    solid = np.isin(label, [4]) if subject.tumour.enhances else label == 1
    return float(found.values[solid].mean())


def test_maps_tell_grade_and_idh():
    subjects = [make_subject(number, 2026) for number in range(1, 30)]
    flow = {grade: [inside(s, "CBF") for s in subjects if s.who_grade == grade][:3] for grade in (2, 4)}
    assert max(flow[2]) < min(flow[4])
    assert max(inside(s, "ADC") for s in [s for s in subjects if not s.mutated][:3]) < 1400
    assert {s.who_grade for s in subjects} == {2, 3, 4}
    assert {s.sex for s in subjects} == {"F", "M"}
    low = [s.mutated for s in (make_subject(n, 1) for n in range(1, 200)) if s.who_grade == 2]
    high = [s.mutated for s in (make_subject(n, 1) for n in range(1, 200)) if s.who_grade == 4]
    assert np.mean(low) > 0.7 > 0.2 > np.mean(high)


def test_a_tumour_that_responds_has_shrunk():
    for number in range(1, 9):
        before = make_subject(number, 3)
        after = follow_up(before)
        assert (after.tumour.core < before.tumour.core) == after.responds
        assert after.tumour.enhances == before.tumour.enhances
        assert not np.allclose(after.lying["T1c"], before.lying["T1c"])
    assert before.responds is None


def test_maps_and_visits_are_written_and_found_in_both_formats(tmp_path):
    for format in ("nifti", "dicom"):
        out = tmp_path / format
        make_cohort(out, subjects=1, seed=2, modalities=("FLAIR", "ADC", "CBF"), missing=0.0, visits=2, format=format)
        studies = scan(out).studies
        assert len(studies) == 2
        for study in studies:
            assert sorted(study.scans) == ["ADC", "CBF", "FLAIR"]
            assert study.clinical["sex"] in ("F", "M")
    with pytest.raises(PolyscanError, match="1 or 2 visits"):
        make_cohort(tmp_path / "x", visits=3)


def test_slices(tmp_path):
    for option in (["--size", "full"], ["--modalities", "T1"], ["--visits", "2"]):
        assert main(["phantom", str(tmp_path / "x"), "--format", "png", *option]) == 1
    make_slices(tmp_path / "a", subjects=20, seed=1, jobs=1)
    make_slices(tmp_path / "b", subjects=20, seed=1, jobs=2)
    manifest = read_manifest(tmp_path / "a" / "manifest.json")
    assert [len(s) for s in (manifest.training, manifest.validation, manifest.testing)] == [14, 2, 4]
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == json.loads(
        (tmp_path / "b" / "manifest.json").read_text()
    )
    for study in manifest.studies:
        assert {name.lower() for name in study.scans} == set(study.label.tasks)
        assert ("none" in study.label.tasks.values()) == (set(study.label.tasks.values()) == {"none"})
        for path in (one.path for one in study.scans.values()):
            other = path.replace(str(tmp_path / "a"), str(tmp_path / "b"))
            picture = np.array(Image.open(path))
            assert picture.shape == (114, 99, 3)
            np.testing.assert_array_equal(picture, np.array(Image.open(other)))
    assert all(len(study.scans) == 2 for study in manifest.testing)
    assert any(len(study.scans) == 1 for study in manifest.training)
    with pytest.raises(PolyscanError, match="is not empty"):
        make_slices(tmp_path / "a")
