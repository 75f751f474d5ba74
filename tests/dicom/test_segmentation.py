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


@pytest.fixture
def drawn(make_series, tmp_path):
    """A CT and a SEG of two segments on it, empty frames left out; returns both and the mask (x, y, z)."""
    from highdicom.sr.coding import CodedConcept

    identify = {"StudyID": "1", "StudyDate": "20260101", "StudyTime": "100000", "AccessionNumber": ""}
    patient = {"PatientBirthDate": "", "PatientSex": "O", "SeriesNumber": 1}
    folder = make_series("subject/ct", **identify, **patient)
    sources = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    mask = np.zeros((5, 6, 7), dtype=np.uint8)  # slice, row, column
    mask[1:3, 2:4, 3:6] = 1
    mask[3, 1, 2] = 2
    kind = CodedConcept("M-01000", "SRT", "Morphologically Altered Structure")
    descriptions = [
        highdicom.seg.SegmentDescription(number, label, kind, kind, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
        for number, label in ((1, "core"), (2, "rim"))
    ]
    seg = highdicom.seg.Segmentation(
        sources,
        mask,
        highdicom.seg.SegmentationTypeValues.BINARY,
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
    return folder, folder.parent / "seg.dcm", mask.transpose(2, 1, 0)


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
