"""The OHIF that MONAI Label's wheel brings, in a headless Chromium that draws by software (SwiftShader)."""

from __future__ import annotations

import base64
import math
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--window-size=1600,1000",
)

# OHIF keeps its services in its React components; what the viewer holds is read from there.
SERVICES = """
const panel = document.getElementById('monailabelServerURL');
let fiber = panel[Object.keys(panel).find(key => key.startsWith('__reactFiber'))];
while (!fiber.memoizedProps?.servicesManager) fiber = fiber.return;
const services = fiber.memoizedProps.servicesManager.services;
"""


class Ohif:
    """A study that is open in OHIF's MONAI Label mode.

    Args:
        browser: a driver.
        server: address of the label server, which OHIF comes from too.
        study: StudyInstanceUID.
    """

    def __init__(self, browser: webdriver.Chrome, server: str, study: str) -> None:
        self.browser = browser
        browser.get(f"{server}/ohif/manifest.json")
        browser.add_cookie({"name": "MONAILABEL_SERVER_URL", "value": server})  # as one who typed it before
        browser.get(f"{server}/ohif/monai-label?StudyInstanceUIDs={study}")
        self._until(lambda: len(self._all("canvas")) >= 3 and self._all("#monailabelServerURL"), "its viewports")
        self._until(lambda: self._all("[data-cy='study-browser-thumbnail']"), "the series")
        for notice in self._all("//button[contains(., 'Confirm and Hide')]"):  # once a browser
            self._press(notice)

    def show(self, series: str) -> None:
        """Show a series by a double click on its picture, as a reader does.

        Args:
            series: SeriesInstanceUID.
        """
        name = self._run(
            """
            const shown = services.displaySetService.getActiveDisplaySets();
            return shown.find(one => one.SeriesInstanceUID === arguments[0]).displaySetInstanceUID;
            """,
            series,
        )
        pressed = -math.inf

        def there() -> bool:
            nonlocal pressed
            now = self.shown()
            # A click beside a picture that moved while others came is made again.
            if now["SeriesInstanceUID"] != series and time.monotonic() - pressed > 10:
                ActionChains(self.browser).double_click(self._all(f"#thumbnail-{name}")[0]).perform()
                pressed = time.monotonic()
            return now["SeriesInstanceUID"] == series and now["loaded"]

        self._until(there, "the series")
        time.sleep(1)  # until it is drawn

    def connect(self) -> None:
        """Ask the label server what it can do."""
        self._press(self._all("//input[@id='monailabelServerURL']/ancestor::tr//button")[0])
        self._until(lambda: self._all("button[title='Run Segmentation']"), "the models")
        self._until(lambda: self._run("return !!services.segmentationService.getLabelmapVolume('1')"), "a label map")

    def segment(self, model: str) -> None:
        """Choose a model under *Auto-Segmentation* and press *Run*."""
        (chooser,) = self._all("//label[text()='Auto-Segmentation']/..//select")
        Select(chooser).select_by_value(model)
        self.browser.get_log("browser")
        self._press(self._all("button[title='Run Segmentation']")[0])

        def told() -> bool:
            said = [entry["message"] for entry in self.browser.get_log("browser")]
            failed = [message for message in said if "Failed" in message or "TypeError" in message]
            assert not failed, failed
            return any("updated the segmentation's scalar data" in message for message in said)

        self._until(told, "the mask")
        time.sleep(2)  # until it is drawn

    def shown(self) -> dict[str, Any]:
        """Modality and UIDs of the series in the active viewport, and whether its volume is there."""
        return self._run("""
            const grid = services.viewportGridService.getState();
            const viewport = grid.viewports.get(grid.activeViewportId);
            const set = services.displaySetService.getDisplaySetByUID(viewport.displaySetInstanceUIDs[0]);
            const drawn = services.cornerstoneViewportService.getCornerstoneViewport(grid.activeViewportId);
            return {Modality: set.Modality, SeriesInstanceUID: set.SeriesInstanceUID,
                    StudyInstanceUID: set.StudyInstanceUID,
                    loaded: !!drawn?.getImageData?.()?.imageData};
        """)

    def studies(self) -> int:
        """How many studies OHIF lists as this patient's, by their dates."""
        (panel,) = self._all("[data-cy='studyBrowser-panel']")
        return len(re.findall(r"\d\d-[A-Z][a-z]{2}-\d{4}", panel.text))

    def segments(self) -> dict[str, int]:
        """Name to number of the segments, as the viewer counts them."""
        found = self._run("return Object.values(services.segmentationService.getSegmentation('1').segments)")
        return {one["label"]: one["segmentIndex"] for one in found}

    def coloured(self) -> int:
        """How many pixels of the three viewports have a colour, as masks do and scans do not."""
        return self._run("""
            let found = 0;
            for (const canvas of document.querySelectorAll('canvas.cornerstone-canvas')) {
                const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                for (let i = 0; i < pixels.length; i += 4) {
                    const red = pixels[i], green = pixels[i + 1], blue = pixels[i + 2];
                    if (Math.max(red, green, blue) - Math.min(red, green, blue) > 8) found++;
                }
            }
            return found;
        """)

    def labelmap(self) -> tuple[np.ndarray, np.ndarray]:
        """The mask that the viewer holds (x, y, z) uint8, and its affine in LPS+ millimetres."""
        held = self._run("""
            const volume = services.segmentationService.getLabelmapVolume('1');
            const voxels = volume.voxelManager.getCompleteScalarDataArray();
            let text = '';
            for (let i = 0; i < voxels.length; i += 32768)
                text += String.fromCharCode(...voxels.slice(i, i + 32768));
            return {voxels: btoa(text), shape: volume.dimensions, spacing: volume.spacing,
                    direction: [...volume.direction], origin: volume.origin};
        """)
        voxels = np.frombuffer(base64.b64decode(held["voxels"]), np.uint8).reshape(held["shape"], order="F")
        affine = np.eye(4)
        affine[:3, :3] = np.array(held["direction"]).reshape(3, 3).T * held["spacing"]
        affine[:3, 3] = held["origin"]
        return voxels, affine

    def picture(self) -> np.ndarray:
        """What is on the screen (row, column, RGB)."""
        return np.asarray(Image.open(BytesIO(self.browser.get_screenshot_as_png())).convert("RGB"))

    def go_to(self, point: np.ndarray) -> None:
        """Show the slices through a point, LPS+ millimetres, in all three viewports."""
        self._run(
            """
            for (const id of services.viewportGridService.getState().viewports.keys()) {
                const viewport = services.cornerstoneViewportService.getCornerstoneViewport(id);
                const {focalPoint, position, viewPlaneNormal: n} = viewport.getCamera();
                const far = [0, 1, 2].reduce((sum, k) => sum + (arguments[0][k] - focalPoint[k]) * n[k], 0);
                viewport.setCamera({focalPoint: focalPoint.map((v, k) => v + far * n[k]),
                                    position: position.map((v, k) => v + far * n[k])});
                viewport.render();
            }
            """,
            [float(v) for v in point],
        )
        time.sleep(1)

    def _run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(SERVICES + script, *arguments)

    def _all(self, where: str) -> list[Any]:
        return self.browser.find_elements(By.XPATH if where.startswith("//") else By.CSS_SELECTOR, where)

    def _press(self, button: Any) -> None:
        self.browser.execute_script("arguments[0].click()", button)

    def _until(self, found: Callable[[], Any], what: str, seconds: int = 120) -> Any:
        end = time.monotonic() + seconds
        while not (seen := found()):
            assert time.monotonic() < end, f"OHIF did not show {what}: {self.browser.get_log('browser')[-5:]}"
            time.sleep(0.2)
        return seen


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser without a screen."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def main() -> None:
    """Take the pictures of docs/label.md: ``python ohif.py SERVER FOLDER MODEL STUDY SERIES...``.

    Of a mask the slices through its middle are shown; of an answer in words, which lie in every slice, those that are.
    """
    server, folder, model, study, *series = sys.argv[1:]
    words = model.endswith("_on_scan")
    with chromium() as browser:
        for uid in series:
            ohif = Ohif(browser, server, study)
            ohif.show(uid)
            ohif.connect()
            ohif.segment(model)
            if not words:
                mask, affine = ohif.labelmap()
                ohif.go_to((affine @ [*np.argwhere(mask).mean(0), 1])[:3])
            picture = Image.fromarray(ohif.picture())
            name = "class" if words else ohif.shown()["Modality"]
            picture.reduce(2).save(Path(folder) / f"ohif_{name}.png", optimize=True)


if __name__ == "__main__":
    main()
