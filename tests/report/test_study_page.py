"""The page of a study: what it says, and what its sliders do in a real browser."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import replace

import pytest

pytest.importorskip("selenium", reason="selenium, which drives the browser, is not installed")
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from polyscan.report.measures import rows_of
from polyscan.report.study_page import missing, write_study_page
from polyscan.study import ModelRecord, PredictionRecord, Study, scans_of
from polyscan.study.manifest import read_manifest


@pytest.fixture
def study(out):
    return read_manifest(out / "manifest.json").studies[0]


def pixels(browser, canvas):
    """All that a canvas shows, as text."""
    return browser.execute_script("return document.querySelector(arguments[0]).toDataURL()", canvas)


def slide(browser, identifier, value):
    browser.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        identifier,
        value,
    )


def test_page_says_everything(study, tmp_path):
    text = write_study_page(study, tmp_path / "page.html", cohort="../report.html").read_text()
    for words in (
        "0.875",
        '<td class="number">0.625</td><td class="number">4.2</td>',
        "left out: its slice is corrupt",
        "Not for clinical use",
        "it fits",
        "&lt;b&gt;one",
    ):
        assert words in text
    assert re.search(
        'class="most">75 %</button><i style="width: 75%"></i><span class="soft">[0-9]+ % within</span>', text
    )
    assert '<td class="share">25 %<i style="width: 25%"></i></td>' in text  # no map of that scan
    for words in (
        "<td>FusionNet; fused by Mean at 0, 1",
        "abababababababab",
        "T2</strong> had no part in the answer: not found",
    ):
        assert words in text
    assert "<b>one" not in text
    assert set(re.findall(r"(?:src|href)=\"([^\"]+)\"", text)) == {"../report.html"}
    assert missing(study).keys() == {"PET", "T2"}


def test_what_stood_in_for_a_missing_scan_is_said(study, tmp_path):
    said = "For what is missing, a learned vector stands in. That was not acquired"
    assert said not in write_study_page(study, tmp_path / "nothing.html").read_text()
    study.prediction.model = replace(study.prediction.model, stands_in="a learned vector stands in")
    assert said in write_study_page(study, tmp_path / "page.html").read_text()
    study.prediction.present = list(study.prediction.model.modalities)
    assert said not in write_study_page(study, tmp_path / "all.html").read_text()


def test_a_task_that_is_not_answered_is_named(study, tmp_path):
    study.prediction.unanswered = ["ct"]
    text = write_study_page(study, tmp_path / "page.html").read_text()
    assert "<strong>ct</strong> is not answered: the network did not learn it" in text


def test_what_is_no_scan_is_read_and_has_no_map(study, tmp_path):
    study.prediction.present.append("clinical")
    text = write_study_page(study, tmp_path / "page.html").read_text()
    assert re.search("<p>Read: [^<;]+, clinical[.;]", text)
    assert "<th>clinical</th>" not in text


def test_page_is_kept_until_what_it_shows_changes(study, tmp_path):
    page = write_study_page(study, tmp_path / "page.html")
    first, when = page.read_bytes(), page.stat().st_mtime_ns
    assert write_study_page(study, page).stat().st_mtime_ns == when
    study.problems["T1"] = "is odd"
    assert write_study_page(study, page).read_bytes() != first
    del study.problems["T1"]
    assert write_study_page(study, page).read_bytes() == first
    os.utime(study.prediction.path, (0, 0))
    assert write_study_page(study, page).read_bytes() != first


def test_sliders_change_what_is_seen(study, tmp_path, opened):
    browser = opened(write_study_page(study, tmp_path / "page.html"))
    axial, told = "#viewer [data-plane=axial] canvas", "#viewer [data-plane=axial] output"
    before = pixels(browser, axial)
    slider = browser.find_element("id", "viewer-axial")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element("css selector", told).text == "slice 8 of 16"
    assert slider.get_attribute("aria-valuetext") == "slice 8 of 16"
    canvas = browser.find_element("css selector", axial)
    said = canvas.get_attribute("aria-label")
    told = r"CT from -\d+ HU to \d+ HU, prediction in colour, the truth outlined"
    assert re.fullmatch(f"axial slice 8 of 16: {told}", said)
    printed = browser.find_element("css selector", "#viewer .print-only")
    assert not printed.is_displayed()
    assert printed.get_attribute("textContent") == f"{said.partition(': ')[2]}."
    assert pixels(browser, axial) != before
    for identifier, value in (("opacity", 0), ("brightest", 60)):
        before = pixels(browser, axial)
        slide(browser, identifier, value)
        assert pixels(browser, axial) != before, identifier
    before = pixels(browser, axial)
    slide(browser, "opacity", 100)
    Select(browser.find_element("id", "overlay")).select_by_value("uncertainty")
    assert pixels(browser, axial) != before
    before = pixels(browser, axial)
    Select(browser.find_element("id", "overlay")).select_by_visible_text("tumour, by Grad-CAM")
    browser.execute_async_script(  # a map is decoded when it is first shown
        "const [canvas, told, done] = arguments;"
        "const wait = () => canvas.ariaLabel.includes(told) ? done() : setTimeout(wait, 20); wait()",
        canvas,
        "tumour, by Grad-CAM in colour",
    )
    assert pixels(browser, axial) != before
    browser.find_element("id", "truth").click()
    assert "truth" not in canvas.get_attribute("aria-label")


def test_a_click_moves_the_other_planes(study, tmp_path, opened):
    browser = opened(write_study_page(study, tmp_path / "page.html"))
    browser.execute_script(
        "const canvas = document.querySelector('#viewer [data-plane=axial] canvas');"
        "const box = canvas.getBoundingClientRect();"
        "canvas.dispatchEvent(new PointerEvent('pointerdown', {clientX: box.left + 1, clientY: box.bottom - 2}))"
    )
    values = [browser.find_element("id", f"viewer-{plane}").get_property("value") for plane in ("sagittal", "coronal")]
    assert values == ["0", "23"]  # the patient's right, and the back


def test_a_share_shows_its_map_where_it_is_highest(study, tmp_path, opened):
    browser = opened(write_study_page(study, tmp_path / "page.html"))
    Select(browser.find_element("id", "scan")).select_by_visible_text("T1")
    button = browser.find_element("css selector", "[data-map]")
    assert button.get_attribute("aria-label") == "75 %: show CT, tumour, by Grad-CAM"
    button.click()
    peak = browser.execute_async_script(
        "const done = arguments[0];"
        "const peak = study.attributions[0].peaks.CT.map(String);"
        "const at = () => ['sagittal', 'coronal', 'axial'].map(plane => control(`viewer-${plane}`).value);"
        "const wait = () => at().join() === peak.join() ? done(peak) : setTimeout(wait, 20); wait()"
    )
    assert len(peak) == 3
    said = browser.find_element("css selector", "#viewer canvas").get_attribute("aria-label")
    assert "CT from" in said
    assert "tumour, by Grad-CAM in colour" in said


def test_swipe_shows_registration_before_and_after(study, tmp_path, opened):
    browser = opened(write_study_page(study, tmp_path / "page.html"))
    axial, seen = "#registered [data-plane=axial] canvas", []
    for value in (0, 50, 100):
        slide(browser, "swipe", value)
        seen.append(pixels(browser, axial))
    Select(browser.find_element("id", "blend")).select_by_value("board")
    assert len({*seen, pixels(browser, axial)}) == 4


def test_every_control_has_a_name_and_the_page_prints(study, tmp_path, opened):
    browser = opened(write_study_page(study, tmp_path / "page.html"))
    nameless = browser.execute_script(
        "return [...document.querySelectorAll('input, select, button')]"
        ".filter(each => !each.labels?.length && !each.ariaLabel).map(each => each.id)"
    )
    assert nameless == []
    assert browser.execute_script("return [...document.querySelectorAll('canvas')].every(c => c.ariaLabel)")
    back = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(back)
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert browser.execute_script(back) != light
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Subtype /Image") >= 6


def test_study_of_pictures(study, tmp_path, opened):
    from PIL import Image

    from polyscan.study import PredictionRecord, Scan, Study, TaskPrediction

    Image.new("RGB", (40, 30), "red").save(tmp_path / "MRI.png")
    flat = Study("a", scans={"MRI": Scan(str(tmp_path / "MRI.png"))})
    answer = TaskPrediction("tumour", probabilities={"tumour": 0.75, "none": 0.25}, contributions={"MRI": 0.25})
    (tmp_path / "a_answer.json").write_text("{}")
    flat.prediction = PredictionRecord(str(tmp_path / "a_answer.json"), ["MRI"], answers={"kind": answer})
    text = write_study_page(flat, tmp_path / "pages" / "a.html").read_text()
    assert 'alt="MRI of a"' in text
    assert "<canvas" not in text
    assert "+0.25" in text
    assert "Not ruled out" not in text
    answer.prediction_set = []
    assert "Not ruled out: no class" in write_study_page(flat, tmp_path / "pages" / "a.html").read_text()
    assert Image.open(tmp_path / "pages" / "a.jpg").size == (40, 30)


def test_it_says_which_scan_drove_a_mask(study, tmp_path):
    region, *_ = study.prediction.volumes_ml
    study.prediction.contributions = {region: {"T1": 1.125, "FLAIR": -0.125}}
    text = write_study_page(study, tmp_path / "page.html").read_text()
    assert '<td class="share"><span class="most">112 %</span><i class="" style="width: 100%"></i></td>' in text
    assert '<td class="share"><span>-12 %</span><i class="against" style="width: 12%"></i></td>' in text
    (row,) = rows_of([study], [])
    assert row[f"{region} from FLAIR"] == -0.125


def test_a_scan_that_the_network_does_not_read_is_called_that():
    model = ModelRecord("b", modalities=["T1", "T2", "FLAIR"])
    some = Study("a", scans=scans_of({"T1": "t1.nii.gz", "CT": "ct.nii.gz", "T2": "t2.nii.gz"}))
    some.prediction = PredictionRecord("a.nii.gz", ["T1"], model=model)
    assert missing(some) == {
        "CT": "not read by this network",
        "T2": "treated as not acquired",
        "FLAIR": "not found in the study",
    }


@pytest.mark.parametrize(
    ("known", "present", "said"),
    [
        ({"age": 60}, ["genes"], {"clinical": "treated as not acquired"}),
        ({}, ["genes"], {"clinical": "not found in the study"}),
        ({"age": 60}, ["genes", "clinical"], {}),
    ],
)
def test_clinical_variables_that_were_taken_away_are_called_that(known, present, said):
    some = Study("a", scans=scans_of({"genes": "genes.json"}), clinical=known)
    some.prediction = PredictionRecord("a.json", present, model=ModelRecord("b", modalities=["clinical", "genes"]))
    assert missing(some) == said
