"""A header from the bytes of a file is what pydicom reads of it, and what is odd is left to pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
)

from polyscan.dicom.attributes import value, words
from polyscan.dicom.header_bytes import LEFT_ON_DISK, PIXEL_DATA, header_in
from polyscan.dicom.headers import read_each

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless]


def _file(path: Path, syntax: str, nested: bool = True) -> Path:
    """A file with what headers hold: closed and open sequences, private, empty, long and foreign attributes."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = MRImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = "1.2.3"
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName, header.SeriesDescription, header.StudyDate = "Müller^Änne", "T1 nativ, früh", ""
    header.ImageType, header.Modality = ["ORIGINAL", "PRIMARY"], "MR"
    header.ImagePositionPatient, header.EchoTime, header.InstanceNumber = [1.5, -2, 1e-3], 4.25, 7
    header.Rows, header.Columns, header.BitsAllocated, header.PixelRepresentation = 40, 60, 16, 0
    header.SmallestImagePixelValue = 3
    block = header.private_block(0x0019, "A VENDOR", create=True)
    block.add_new(0x0A, "FD", 2.5)
    block.add_new(0x0B, "OB", bytes(LEFT_ON_DISK + 2))
    for name, is_open in (("ReferencedImageSequence", True), ("RequestAttributesSequence", False)):
        inner, item = Dataset(), Dataset()
        inner.CodeMeaning, inner.CodeValue = "Kopf für sich", "1"
        item.ReferencedSOPInstanceUID = "1.2.4"
        item.PurposeOfReferenceCodeSequence = [inner, inner] if nested else []
        for each in (inner, item):
            each.is_undefined_length_sequence_item = is_open
        setattr(header, name, [item])
        header[name].is_undefined_length = is_open
    pixels = np.arange(2400, dtype="<u2").tobytes()
    header.PixelData = encapsulate([pixels]) if syntax == JPEGLSLossless else pixels
    header["PixelData"].is_undefined_length = syntax == JPEGLSLossless
    header["PixelData"].VR = "OB" if syntax == JPEGLSLossless else "OW"
    pydicom.dcmwrite(path, header, enforce_file_format=True)
    return path


def _both(path: Path) -> tuple[pydicom.FileDataset, pydicom.FileDataset]:
    found = header_in(path.read_bytes(), str(path), path.stat().st_size)
    assert found is not None
    return found[0], pydicom.dcmread(path, defer_size=LEFT_ON_DISK)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_is_what_pydicom_reads(tmp_path: Path, syntax: str) -> None:
    mine, theirs = _both(_file(tmp_path / "a.dcm", syntax))
    if syntax == JPEGLSLossless:
        del theirs.PixelData  # looked for by whoever decodes it
    assert list(mine.keys()) == list(theirs.keys())
    assert mine == theirs
    assert mine.file_meta == theirs.file_meta
    assert mine.original_encoding == theirs.original_encoding
    assert mine.original_character_set == theirs.original_character_set
    assert mine.PatientName == "Müller^Änne"
    assert len(mine[0x00191000 | 0x0B].value) == LEFT_ON_DISK + 2  # from the disk


def test_its_end_is_where_the_pixels_begin(tmp_path: Path) -> None:
    content = _file(tmp_path / "a.dcm", ExplicitVRLittleEndian).read_bytes()
    found = header_in(content, str(tmp_path / "a.dcm"), len(content))
    assert found is not None
    assert content[found[1] :] == np.arange(2400, dtype="<u2").tobytes()
    assert found[0].get_item(PIXEL_DATA, keep_deferred=True).value is None
    kept = header_in(content[: found[1]], str(tmp_path / "a.dcm"))
    assert kept is not None
    assert kept[0] == found[0]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-2],  # pixels end early
        lambda content: content + b"..",  # something behind the pixels
        lambda content: content[:900],  # the header ends early
        lambda content: content.replace(b"DICM", b"DICK"),
        lambda content: content.replace(b"\x08\0\x60\0CS", b"\x08\0\x60\0cs"),
    ],
)
def test_what_is_odd_is_left_to_pydicom(tmp_path: Path, spoil) -> None:
    content = _file(tmp_path / "a.dcm", ExplicitVRLittleEndian).read_bytes()
    assert header_in(content, str(tmp_path / "a.dcm"), len(content)) is not None
    spoilt = spoil(content)
    assert spoilt != content
    assert header_in(spoilt, str(tmp_path / "a.dcm"), len(spoilt)) is None


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_syntaxes_are_left_to_pydicom(tmp_path: Path, syntax: str) -> None:
    path = _file(tmp_path / "a.dcm", syntax, nested=False)
    assert header_in(path.read_bytes(), str(path), path.stat().st_size) is None
    assert next(read_each([path]))[1].header is not None


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_words_are_those_of_the_decoded_value(tmp_path: Path, syntax: str) -> None:
    mine, theirs = _both(_file(tmp_path / "a.dcm", syntax))
    for tag in mine.keys():  # noqa: SIM118
        if tag != PIXEL_DATA and theirs[tag].VR != "SQ":
            raw = words(mine, tag)
            value(mine, tag)  # decodes it
            assert raw == words(mine, tag) == words(theirs, tag)
    assert words(mine, "ImagePositionPatient") == ["1.5", "-2.0", "0.001"]
    assert words(mine, "SeriesDescription") == ["T1 nativ, früh"]
    assert words(mine, "StudyDate") == words(mine, "AcquisitionDate") == []


@pytest.mark.parametrize("folder", ["dicom_cases/ct_tilt", "dicom_cases/transfer_syntax", "pet_suv", "reported_cases"])
def test_headers_of_real_scanners(data: Path, folder: str) -> None:
    read = 0
    for path in [path for path in sorted((data / folder).rglob("*")) if path.is_file()][:40]:
        found = header_in(path.read_bytes(), str(path), path.stat().st_size)
        if found is not None:
            assert found[0][:PIXEL_DATA] == pydicom.dcmread(path)[:PIXEL_DATA]
            read += 1
    assert read
