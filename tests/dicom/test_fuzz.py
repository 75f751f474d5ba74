"""Headers spoiled in every way that came to mind: one clear error a series, and never a silently wrong geometry."""

from __future__ import annotations

import itertools
import shutil
import warnings

import numpy as np
import pydicom
import pytest
from pydicom import config

from polyscan.dicom.read import find_series, read_series
from polyscan.errors import PolyscanError

ATTRIBUTES = [
    ("BitsAllocated", "US"),
    ("BitsStored", "US"),
    ("Columns", "US"),
    ("EchoTime", "DS"),
    ("HighBit", "US"),
    ("ImageOrientationPatient", "DS"),
    ("ImagePositionPatient", "DS"),
    ("ImageType", "CS"),
    ("InstanceNumber", "IS"),
    ("Modality", "CS"),
    ("NumberOfFrames", "IS"),
    ("PhotometricInterpretation", "CS"),
    ("PixelPaddingValue", "US"),
    ("PixelRepresentation", "US"),
    ("PixelSpacing", "DS"),
    ("RescaleIntercept", "DS"),
    ("RescaleSlope", "DS"),
    ("Rows", "US"),
    ("SamplesPerPixel", "US"),
    ("SeriesInstanceUID", "UI"),
    ("SliceThickness", "DS"),
    ("SOPClassUID", "UI"),
    ("StackID", "SH"),
]
TEXTS = [None, "", "abc", "0", "-1", "1e30", "nan", "1\\2", "1\\0\\0\\1\\0\\0", "MOSAIC"]
NUMBERS = [None, 0, 1, 7, 65535]
VALUES_MAY_CHANGE = {"RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "PixelRepresentation", "HighBit"}
"""What tells values only: a change of it in every slice, or of a few bits, cannot be known to be wrong."""


@pytest.fixture(scope="module", autouse=True)
def write_nonsense():
    before = config.settings.writing_validation_mode, config.settings.reading_validation_mode
    config.settings.writing_validation_mode = config.settings.reading_validation_mode = config.IGNORE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    config.settings.writing_validation_mode, config.settings.reading_validation_mode = before


def spoil(path, keyword, vr, value):
    data = pydicom.dcmread(path)
    data.pop(keyword, None)
    if value is not None:
        element = pydicom.DataElement(pydicom.datadict.tag_for_keyword(keyword), vr, None)
        element._value = value if vr == "US" else value.split("\\") if "\\" in value else value
        data.add(element)
        if vr in ("DS", "IS"):  # as raw bytes: pydicom does not write what is no number
            raw = value.encode()
            tag = element.tag
            data._dict[tag] = pydicom.dataelem.RawDataElement(
                tag, vr, len(raw) + len(raw) % 2, raw + b" " * (len(raw) % 2), 0, False, True
            )
    data.save_as(path)


def check(folder, *, one_slice: bool, values_told: bool = True):
    """Reading raises PolyscanError or gives an image whose values stand where they were."""
    for series in find_series(folder):
        assert series.reason
    try:
        image = read_series(folder)
    except PolyscanError:
        return
    assert np.isfinite(np.asarray(image.affine)).all()
    assert np.linalg.matrix_rank(np.asarray(image.affine)) == 4
    if one_slice and values_told and not image.meta["problems"]:
        index = np.argwhere(np.isfinite(image[0].numpy()))
        world = index @ np.asarray(image.affine)[:3, :3].T + np.asarray(image.affine)[:3, 3]
        expected = 10 * world[:, 2] / 3 + (10 - world[:, 0]) / 2
        np.testing.assert_allclose(image[0].numpy()[tuple(index.T)], expected, atol=1e-3)


@pytest.mark.parametrize(("keyword", "vr"), ATTRIBUTES)
def test_one_attribute(make_series, keyword, vr):
    clean = make_series()
    for value, where in itertools.product(NUMBERS if vr == "US" else TEXTS, ("first", "middle", "all")):
        folder = shutil.copytree(clean, clean.parent / "spoiled")
        files = sorted(folder.iterdir())
        for path in {"first": files[:1], "middle": files[2:3], "all": files}[where]:
            spoil(path, keyword, vr, value)
        check(folder, one_slice=where != "all", values_told=keyword not in VALUES_MAY_CHANGE)
        shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(make_series, seed):
    """50 times: 1 to 20 bytes of one slice's header become random ones."""
    rng = np.random.default_rng(seed)
    clean = make_series()
    values = [path.read_bytes() for path in sorted(clean.iterdir())]
    for _ in range(50):
        k = int(rng.integers(len(values)))
        content = bytearray(values[k])
        for place in rng.integers(132, len(content) - 6 * 7 * 2 - 12, size=rng.integers(1, 21)):
            content[place] = rng.integers(256)
        path = sorted(clean.iterdir())[k]
        path.write_bytes(bytes(content))
        check(clean, one_slice=True, values_told=same_values(path, values[k], path.parent))
        path.write_bytes(values[k])


def same_values(path, before, folder) -> bool:
    """Whether the header still describes the same stored values."""
    try:
        now = pydicom.dcmread(path)
        (folder.parent / "before.dcm").write_bytes(before)
        then = pydicom.dcmread(folder.parent / "before.dcm")
        names = VALUES_MAY_CHANGE | {"BitsStored", "BitsAllocated", "PixelData", "Modality"}
        return all(str(now.get(name)) == str(then.get(name)) for name in names)
    except Exception:
        return False


@pytest.mark.parametrize("seed", range(2))
def test_truncated(make_series, seed):
    """25 times: a slice ends anywhere."""
    rng = np.random.default_rng(seed)
    clean = make_series()
    for _ in range(25):
        path = sorted(clean.iterdir())[int(rng.integers(5))]
        content = path.read_bytes()
        path.write_bytes(content[: int(rng.integers(len(content)))])
        check(clean, one_slice=True)
        path.write_bytes(content)
