"""Pages from the disk in a headless Chromium, which benchmarks time and draw."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def chromium(width: int = 1500, height: int = 1100) -> Iterator[Any]:
    """A driver of Selenium, with a window of so many pixels."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}"):
        options.add_argument(option)
    options.binary_location = str(shutil.which("chromium"))
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()


def open_page(driver: Any, page: Path) -> str:
    """Open a page and wait until it is drawn; returns what it says of that, of a cohort after how many milliseconds."""
    driver.get(page.resolve().as_uri())
    while not (ready := driver.execute_script("return document.documentElement.dataset.ready")):
        time.sleep(0.02)
    return str(ready)
