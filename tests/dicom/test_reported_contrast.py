"""Inputs that were once read wrongly: which contrast a series is, which volume of it, and what belongs together."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.dicom.read import find_series, read_series


@pytest.fixture
def case(data):
    folder = data / "reported_cases"
    if not folder.is_dir():
        pytest.skip(f"reported cases not found at {folder}")
    return folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T1_plus_C_as_T1/in", {"pre": "T1", "post": "T1c"}),
        ("flair_without_TI_as_T2/in", {"FLAIR": "FLAIR"}),
        ("tof_as_T1/in", {"T1": "T1", "TOF": None}),
        ("ge_b0map_as_T1/in", {"B0": None}),
        ("ct_iodine_map_as_HU/in", {"CT": None}),
    ],
)
def test_contrast(case, name, expected):
    found = {(series.files[0].parent.name, series.modality) for series in find_series(case / name)}
    assert found == set(expected.items())


@pytest.mark.parametrize(("name", "weighted"), [("philips_dwi_b0_as_T2/in", 3), ("ge_dwi_b0_taken/in", 6)])
def test_unweighted_images_of_a_diffusion_series_are_left_out(case, name, weighted):
    found = find_series(case / name)
    assert [series.modality for series in found].count("DWI") == weighted
    (unweighted,) = [series for series in found if series.modality is None]
    assert "b = 0" in unweighted.reason
    assert all("b-value 1000 s/mm2" in series.reason for series in found if series.modality)


def test_frames_of_a_dynamic_pet_are_refused_until_one_is_named(case):
    folder = case / "pet_dynamic_first_frame" / "in"
    found = find_series(folder)
    assert [series.modality for series in found] == [None] * 4
    assert all("dynamic" in series.reason for series in found)
    first, last = read_series(f"{folder}#1"), read_series(f"{folder}#4")
    assert last.max() > 2 * first.max()


def test_echoes_with_equal_headers_are_told_apart_by_the_vendors_run_number(case):
    found = find_series(case / "ge_multi_echo_mixed" / "in")
    assert [len(series.slices) for series in found] == [12, 12, 12]
    means = sorted(float(read_series(series.files).mean()) for series in found)
    np.testing.assert_allclose(np.array(means) / means[-1], [0.3, 0.6, 1.0], atol=0.02)
    for series in found:
        profile = read_series(series.files)[0].numpy().mean(axis=(0, 1))
        # The object brightens from slice to slice, so that no slice is of another echo.
        assert (np.diff(profile) > 0).all()


def test_near_positions_are_no_new_slices(case):
    found = find_series(case / "echoes_0.02mm_apart" / "in")
    assert [(len(series.slices), series.shape[2]) for series in found] == [(12, 12), (12, 12)]
    np.testing.assert_allclose([np.linalg.norm(series.affine[:3, 2]) for series in found], 3, atol=1e-6)


def test_copies_are_told_by_content(case):
    for folder in (case / "same_sopinstanceuid" / "in", case / "same_sopinstanceuid" / "two"):
        image = read_series(folder)
        assert image.shape[-1] == 12
        assert (float(image.min()), float(image.max())) == (-924, -243)
        assert image.meta["problems"] == []


def test_one_slice_made_twice_is_the_later_and_said(case):
    (series,) = find_series(case / "ct_one_slice_twice_acq" / "in")
    assert (series.modality, len(series.slices)) == ("CT", 20)
    assert {str(header.AcquisitionNumber) for header in series.headers} == {"3"}
    assert "made twice" in read_series(case / "ct_one_slice_twice_acq" / "in").meta["problems"][0]


def test_public_attributes_win_over_private_sequences(case):
    found = find_series(case / "philips_enhanced_shifted" / "in")
    for series in found:
        np.testing.assert_allclose(series.affine[:3, 3], [127.2443, 119.7766, 9.6454], atol=1e-3)
    assert [series.modality for series in found] == [None, None]


@pytest.mark.parametrize("name", ["in", "group_length"])
def test_dicom_without_meta_information_is_read(case, name):
    image = read_series(case / "dicom_without_meta" / name)
    assert image.shape[-1] == 12
    assert (float(image.min()), float(image.max())) == (-924, -243)
