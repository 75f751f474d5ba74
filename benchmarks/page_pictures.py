"""The pictures of pages in the documentation: python benchmarks/page_pictures.py FOLDER docs/images.

FOLDER gets eight made heads and what ``polyscan batch`` finds in them, in a few minutes of a core, and the page of
10,000 studies that ``cohort_page.py`` makes. Written are ``report_study.png``, ``report_mosaic.png`` and
``report_cohort.png``, as a headless Chromium shows them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from browser import chromium, open_page
from cohort_page import made_cohort

from polyscan.cli import main as polyscan
from polyscan.report import write_cohort_page

BUNDLE, CONTRASTS = "brain_mri_tumour_segmentation", ("T1", "T1c", "T2", "FLAIR")


def show(browser: Any, page: Path, height: int) -> None:
    """Open a page in a window of 1500 pixels by so many, of which pictures have 1100."""
    size = {"width": 1500, "height": height, "deviceScaleFactor": 1100 / 1500, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    open_page(browser, page)


def choose(browser: Any, control: str, value: str) -> None:
    """Choose an option of the page of a cohort."""
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("id", control)).select_by_value(value)


def main(folder: Path, images: Path) -> None:
    heads, out, many = folder / "heads", folder / "out", folder / "many"
    polyscan(["phantom", str(heads), "--subjects", "8", "--seed", "33", "--modalities", *CONTRASTS])
    polyscan(["batch", BUNDLE, str(heads), "-o", str(out), "--probabilities"])
    write_cohort_page(made_cohort(10_000), many / "report.html", many / "report")
    with chromium() as browser:
        show(browser, out / "pages" / "sub-003.html", height=1390)
        browser.save_screenshot(str(images / "report_study.png"))
        show(browser, out / "report.html", height=840)
        choose(browser, "as", "mosaic")
        browser.execute_script("document.querySelector('#studies').scrollIntoView()")
        browser.save_screenshot(str(images / "report_mosaic.png"))
        show(browser, many / "report.html", height=840)
        choose(browser, "show", "outlying")
        browser.execute_script(
            "document.querySelector('#studies').scrollIntoView();"
            "document.querySelectorAll('#table tbody tr:not(.space)')[1].click()"
        )
        browser.save_screenshot(str(images / "report_cohort.png"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
