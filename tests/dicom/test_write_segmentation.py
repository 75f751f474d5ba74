"""DICOM SEG: what is written is what is read, by us and by highdicom."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from polyscan.dicom.read import read_series
from polyscan.dicom.segmentation import read_segmentation
from polyscan.dicom.write_segmentation import write_segmentation
from polyscan.errors import PolyscanError
from polyscan.phantom import make_cohort

LABELS = {"enhancing tumour": [4], "necrotic core": [1], "oedema": [2]}


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("series")
    make_cohort(folder, subjects=1, seed=5, modalities=("FLAIR",), missing=0.0, format="dicom")
    return str(folder / "sub-001" / "FLAIR")


def test_what_is_written_is_what_is_read(series, tmp_path):
    highdicom = pytest.importorskip("highdicom")
    image = read_series(series)
    values = np.random.default_rng(0).choice([0, 1, 2, 4], tuple(image.shape)).astype(np.uint8)
    values[..., 3] = 0  # a slice without a label has no frame
    mask = MetaTensor(torch.from_numpy(values), affine=image.affine)
    write_segmentation(tmp_path / "seg.dcm", mask, series, LABELS, description="brain_mri_tumour_segmentation")
    for name, value in LABELS.items():
        np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", image, name), values == value[0])
    written = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [item.SegmentLabel for item in written.SegmentSequence] == ["necrotic core", "oedema", "enhancing tumour"]
    assert {item.SegmentAlgorithmType for item in written.SegmentSequence} == {"AUTOMATIC"}
    assert written.NumberOfFrames == 3 * (image.shape[3] - 1)


def test_a_mask_that_lies_elsewhere_is_refused(series, tmp_path):
    pytest.importorskip("highdicom")
    image = read_series(series)
    moved = image.affine.clone()
    moved[2, 3] += 1.3
    mask = MetaTensor(torch.zeros(image.shape, dtype=torch.uint8), affine=moved)
    with pytest.raises(PolyscanError, match="lies elsewhere than the images of the series"):
        write_segmentation(tmp_path / "seg.dcm", mask, series, LABELS, description="model")
    assert not (tmp_path / "seg.dcm").exists()
