"""One headless Chromium for all tests of pages."""

from __future__ import annotations

import importlib
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.formats.nifti import write_nifti
from polyscan.study import (
    AttributionRecord,
    Label,
    ModelRecord,
    PredictionRecord,
    Preparation,
    RegionScore,
    RegistrationRecord,
    Scan,
    Study,
)
from polyscan.study.manifest import Failure, Manifest, write_manifest


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A driver; what it downloads lies in ``browser.downloads``."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium, which drives the browser, is not installed")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("Chromium is not installed (Debian packages chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1100"):
        options.add_argument(option)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser):
    """Opens a page from the disk and waits until it is drawn; scripts must not have complained."""

    def open_page(path):
        browser.get_log("browser")  # of the page before
        browser.get(path.resolve().as_uri())
        wait = importlib.import_module("selenium.webdriver.support.ui").WebDriverWait(browser, 20)
        wait.until(lambda driver: driver.execute_script("return document.documentElement.dataset.ready"))
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        return browser

    return open_page


def scores(dice, predicted=1.0):
    known = dice is not None
    surfaces = (4.25, 0.625) if known else (None, None)
    return {"tumour": RegionScore(dice, predicted, 1.0 if known else 0.0, *surfaces)}


@pytest.fixture
def out(tmp_path):
    """What ``infer`` wrote of two studies: a CT with a T1 that was registered to it, and a CT alone."""
    shape, affine = (1, 20, 24, 16), torch.diag(torch.tensor([-2.0, -2.0, 4.0, 1.0], dtype=torch.float64))
    rng = np.random.default_rng(0)
    paths = {}
    for name in ("CT", "T1"):
        values = torch.from_numpy(rng.normal(size=shape).astype(np.float32) * 100)
        values[:, :3] = float("nan") if name == "T1" else 0
        paths[name] = str(tmp_path / "prepared" / f"{name}.nii.gz")
        write_nifti(paths[name], MetaTensor(values, affine=affine))
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[:, 8:14, 8:14, 5:9] = 1
    paths["mask"], paths["prob"] = (str(tmp_path / "answers" / f"{name}.nii.gz") for name in ("mask", "prob"))
    write_nifti(paths["mask"], MetaTensor(mask, affine=affine))
    write_nifti(paths["prob"], MetaTensor(torch.full(shape, 0.5), affine=affine))
    paths["transform"] = str(tmp_path / "prepared" / "t.tfm")
    sitk.WriteTransform(sitk.Euler3DTransform((0.0, 0, 0), 0.1, 0, 0, (4.0, 0, 0)), paths["transform"])
    first = Study("<b>one</b>", scans={"CT": Scan(paths["CT"]), "T1": Scan(paths["T1"])}, label=Label(paths["mask"]))
    first.preparation = Preparation(
        "default",
        "CT",
        registrations={"T1": RegistrationRecord(True, "it fits", paths["transform"])},
        problems={"PET": "left out: its slice is corrupt"},
        seconds={"read": 1.25},
    )
    model = ModelRecord("brain", "0.1", "FusionNet", "Mean", "0, 1", ["CT", "T1", "T2"], ["ab" * 32])
    first.prediction = PredictionRecord(
        paths["mask"],
        ["CT", "T1"],
        scores(0.875),
        volumes_ml={"tumour": 2.3},
        seconds=2.5,
        regions={"tumour": [1]},
        probabilities=paths["prob"],
        model=model,
        attributions=[AttributionRecord("gradcam", "tumour", None, {"CT": paths["CT"]}, {"CT": 0.75, "T1": 0.25})],
    )
    second = Study("two", scans={"CT": Scan(paths["CT"])}, preparation=Preparation("default", "CT"))
    second.prediction = PredictionRecord(paths["mask"], ["CT"], scores(None), regions={"tumour": [1]})
    folder, failed = tmp_path / "out", [Failure("sub-3", "nothing could be read")]
    write_manifest(folder / "manifest.json", Manifest(testing=[first, second], failed=failed))
    return folder
