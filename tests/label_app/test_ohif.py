"""The real OHIF, which MONAI Label's wheel brings, in a real browser, before a real DICOMweb server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from served import SERVER

from polyscan.label_app.written import written
from processes import ORTHANC

pytest.importorskip("selenium", reason="selenium, which drives the browser, is not installed")
from ohif import Ohif, chromium

CLASSIFIER = "glioma_grading_classification"

pytestmark = [
    pytest.mark.skipif(not (SERVER / "monailabel").exists(), reason="no environment for it: make label-env"),
    pytest.mark.skipif(
        ORTHANC is None, reason="Orthanc is not installed (Debian packages orthanc and orthanc-dicomweb)"
    ),
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="Chromium is not installed (Debian packages chromium and chromium-driver)",
    ),
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def patient(archive):
    """The series of one patient and a model that reads them: real where there are real."""
    if archive.sarcomas:
        folders = [archive.sarcomas / "STS_025" / name / "image" for name in ("CT", "MR_T1", "PET")]
        return folders, "sarcoma_ct_mr_pet_segmentation"
    return [archive.heads / "sub-002" / name for name in ("FLAIR", "T1c")], "brain_mri_tumour_segmentation"


def series_of(folder: Path) -> tuple[str, str, sitk.Image]:
    """StudyInstanceUID, SeriesInstanceUID and the image of a folder with one series, as ITK reads it."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    return header.StudyInstanceUID, header.SeriesInstanceUID, sitk.ReadImage(files)


def test_the_mask_is_seen_on_each_scan_of_a_patient(browser, web_client, patient):
    """It has the grid of the series, is the server's own voxel for voxel, and lies in one place of the body."""
    (folders, model), centres = patient, []
    for place in folders:
        study, series, image = series_of(place)
        ohif = Ohif(browser, web_client.url, study)
        assert ohif.studies() == 1, "another patient's study is listed as this one's"
        ohif.show(series)
        ohif.connect()
        assert ohif.coloured() == 0, "a scan is grey"
        ohif.segment(model)
        mask, affine = ohif.labelmap()
        assert mask.shape == image.GetSize()
        for corner in ((0, 0, 0), tuple(n - 1 for n in image.GetSize())):
            seen, own = (affine @ [*corner, 1])[:3], image.TransformIndexToPhysicalPoint(corner)
            np.testing.assert_allclose(seen, own, atol=0.01)
        np.testing.assert_array_equal(mask, in_numbers_of(ohif, answered(web_client, model, series, mask.shape)))
        centres.append((affine @ [*np.argwhere(mask).mean(0), 1])[:3])
        ohif.go_to(centres[-1])
        assert ohif.coloured() > 500, "the mask must be seen"
    np.testing.assert_allclose(centres, np.tile(centres[0], (len(centres), 1)), atol=10)


def test_a_class_is_read_on_the_scan(browser, web_client, archive):
    """OHIF shows models of masks only: the answer of a classifier is a mask whose ink is its words."""
    study, series, image = series_of(archive.heads / "sub-002" / "FLAIR")
    ohif = Ohif(browser, web_client.url, study)
    ohif.show(series)
    ohif.connect()
    assert ohif.coloured() == 0, "a scan is grey"
    ohif.segment(f"{CLASSIFIER}_on_scan")
    answers = web_client.json("POST", f"/infer/{CLASSIFIER}?image={series}&output=json", fields={"params": "{}"})[
        "answers"
    ]
    words = [f"{task}: {it['predicted_class']} {max(it['probabilities'].values()):.0%}" for task, it in answers.items()]
    assert len(words) == 2
    mask, affine = ohif.labelmap()
    grid = MetaTensor(torch.zeros(1, *image.GetSize()), affine=np.diag([-1, -1, 1, 1]) @ affine)
    np.testing.assert_array_equal(mask > 0, written(words, grid)[0].numpy() > 0)
    assert set(np.unique(mask)) == {0, ohif.segments()[f"answer of {CLASSIFIER}"]}
    assert ohif.coloured() > 200, "the words must be seen"


def answered(client, model: str, series: str, shape: tuple[int, ...]) -> np.ndarray:
    """The server's own mask, with the names of its labels (x, y, z); empty where there is none."""
    asked = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    where = f"/infer/{model}?image={series}&output=image"
    status, answer = client.ask("POST", where, fields={"params": json.dumps(asked)})
    assert status == 200, answer
    labels = client.json("GET", "/info/")["models"][model]["labels"]
    names = np.array(["", *labels])
    return names[np.frombuffer(answer.split(b"\n\n", 1)[1], np.uint8).reshape(shape, order="F")]


def in_numbers_of(ohif: Ohif, names: np.ndarray) -> np.ndarray:
    """Names as the viewer numbers them."""
    numbers = {"": 0, **ohif.segments()}
    return np.vectorize(numbers.__getitem__, otypes=[np.uint8])(names)
