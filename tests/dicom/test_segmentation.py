"""DICOM SEG as a label, written by highdicom."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from polyscan.dicom.read import read_series
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError
from polyscan.formats.read import read_label
from polyscan.study import Label

highdicom = pytest.importorskip("highdicom", reason="highdicom needs pydicom 3", exc_type=ImportError)


def written(folder, mask, numbers, kind):
    """A SEG of segments called core and rim on the images of a folder, whose path is returned.

    Args:
        mask: (slice, row, column).
    """
    from highdicom.sr.coding import CodedConcept

    sources = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    code = CodedConcept("M-01000", "SRT", "Morphologically Altered Structure")
    descriptions = [
        highdicom.seg.SegmentDescription(number, label, code, code, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
        for number, label in zip(numbers, ("core", "rim"), strict=True)
    ]
    seg = highdicom.seg.Segmentation(
        sources,
        mask,
        highdicom.seg.SegmentationTypeValues[kind],
        descriptions,
        series_instance_uid=highdicom.UID(),
        series_number=2,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    seg.save_as(folder.parent / "seg.dcm")
    return folder.parent / "seg.dcm"


def drawn_on(make_series):
    identify = {"StudyID": "1", "StudyDate": "20260101", "StudyTime": "100000", "AccessionNumber": ""}
    return make_series("subject/ct", **identify, PatientBirthDate="", PatientSex="O", SeriesNumber=1)


@pytest.fixture
def drawn(make_series):
    """A CT and a SEG of two segments on it, empty frames left out; returns both and the mask (x, y, z)."""
    folder = drawn_on(make_series)
    mask = np.zeros((5, 6, 7), dtype=np.uint8)  # slice, row, column
    mask[1:3, 2:4, 3:6] = 1
    mask[3, 1, 2] = 2
    return folder, written(folder, mask, (1, 2), "BINARY"), mask.transpose(2, 1, 0)


def test_numbers_of_a_label_map_that_need_sixteen_bits(make_series):
    folder = drawn_on(make_series)
    mask = np.zeros((5, 6, 7), dtype=np.uint16)
    mask[1:3, 2:4, 3:6], mask[3, 1, 2] = 1, 40000
    label = read_label(Label(str(written(folder, mask, (1, 40000), "LABELMAP"))), read_series(folder))
    np.testing.assert_array_equal(label[0].numpy(), mask.transpose(2, 1, 0))


def test_segments_come_as_their_numbers(drawn):
    folder, seg, mask = drawn
    label = read_label(Label(str(seg)), read_series(folder))
    np.testing.assert_array_equal(label[0].numpy(), mask)


def test_one_segment_is_chosen_by_its_label(drawn):
    folder, seg, mask = drawn
    label = read_label(Label(str(seg), roi="rim"), read_series(folder))
    np.testing.assert_array_equal(label[0].numpy(), mask == 2)


def test_scan_finds_it_and_what_it_was_drawn_on(drawn):
    (study,) = scan(drawn[0].parent.parent).studies
    assert study.label == Label(str(drawn[1]), "CT")


def test_unknown_segment_and_other_grid_are_refused(drawn, make_series):
    folder, seg, _ = drawn
    with pytest.raises(PolyscanError, match="segments 1, 2 by SegmentNumber; expected edge"):
        read_label(Label(str(seg), roi="edge"), read_series(folder))
    other = read_series(make_series("other", PixelSpacing=[1.5, 1.5]))
    with pytest.raises(PolyscanError, match="another grid"):
        read_label(Label(str(seg)), other)
