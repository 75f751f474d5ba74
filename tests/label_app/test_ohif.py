"""The real OHIF, which MONAI Label's wheel brings, in a real browser, before a real DICOMweb server."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from served import ORTHANC, ROOT, SERVER, orthanc, serve

from polyscan.phantom import make_cohort

pytest.importorskip("selenium", reason="selenium, which drives the browser, is not installed")
from ohif import Ohif, chromium

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
def patient(tmp_path_factory):
    """Two patients' DICOM files, the series of one of them, and a model that reads these: real where there are real."""
    data = Path(os.environ.get("POLYSCAN_DATA", ROOT.parent / "shared" / "data"))
    real = data / "sarcoma_ct_mr_pet" / "dicom"
    if real.is_dir():
        folders = [real / "STS_025" / name / "image" for name in ("CT", "MR_T1", "PET")]
        files = [file for file in real.rglob("*") if file.is_file() and file.parent.name == "image"]
        return files, folders, "sarcoma_ct_mr_pet_segmentation"
    made = tmp_path_factory.mktemp("made")
    make_cohort(made, subjects=2, seed=5, modalities=("T1c", "FLAIR"), missing=0.0, format="dicom")
    folders = [made / "sub-002" / name for name in ("FLAIR", "T1c")]
    return sorted(made.rglob("*.dcm")), folders, "brain_mri_tumour_segmentation"


def series_of(folder: Path) -> tuple[str, str, sitk.Image]:
    """StudyInstanceUID, SeriesInstanceUID and the image of a folder with one series, as ITK reads it."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    return header.StudyInstanceUID, header.SeriesInstanceUID, sitk.ReadImage(files)


def test_the_mask_is_seen_on_each_scan_of_a_patient(browser, patient, tmp_path_factory):
    """It has the grid of the series, is the server's own voxel for voxel, and lies in one place of the body."""
    (files, folders, model), folder, centres = patient, tmp_path_factory.mktemp("server"), []
    with orthanc(files, folder) as url, serve(f"{url}/dicom-web", folder) as client:
        for place in folders:
            study, series, image = series_of(place)
            ohif = Ohif(browser, client.url, study)
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
            np.testing.assert_array_equal(mask, in_numbers_of(ohif, answered(client, model, series, mask.shape)))
            centres.append((affine @ [*np.argwhere(mask).mean(0), 1])[:3])
            ohif.go_to(centres[-1])
            assert ohif.coloured() > 500, "the mask must be seen"
    np.testing.assert_allclose(centres, np.tile(centres[0], (len(centres), 1)), atol=10)


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
