"""The page of a cohort: what comes first, and what clicks do in a real browser."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium, which drives the browser, is not installed")
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from polyscan.cli import main
from polyscan.errors import PolyscanError
from polyscan.learning.history import draw_curves
from polyscan.report import write_cohort_page, write_report
from polyscan.report.cohort_page import cohort_data
from polyscan.report.measures import outlying, rows_of
from polyscan.report.summary import summarise
from polyscan.study import PredictionRecord, RegionScore, Scan, Study
from polyscan.study.manifest import Failure, Manifest, read_manifest, write_manifest


def predicted(subject, ml, dice=0.9):
    study = Study(subject)
    score = {"tumour": RegionScore(dice, ml, 1.0)}
    study.prediction = PredictionRecord(f"{subject}.nii.gz", ["CT"], score, volumes_ml={"tumour": ml})
    return study


@pytest.fixture
def cohort(tmp_path):
    """Forty studies of which one stands out, and one that failed."""
    rng = np.random.default_rng(0)
    studies = [predicted(f"{k:03d}", 500.0 if k == 23 else float(rng.normal(20, 1))) for k in range(40)]
    manifest = Manifest(testing=studies, failed=[Failure("sub-x", "T1 is torn")])
    write_cohort_page(manifest, tmp_path / "r.html", tmp_path / "r")
    return tmp_path / "r.html"


def first_rows(browser, count=2):
    """In one step, since rows come and go where one scrolls."""
    every = "return [...document.querySelectorAll('#table tbody th')].map(each => each.innerText)"
    return browser.execute_script(every)[:count]


def test_what_failed_and_what_stands_out_comes_first(cohort, opened):
    browser = opened(cohort)
    assert first_rows(browser) == ["sub-x", "sub-023"]
    assert "T1 is torn" in browser.find_element("css selector", "#table tbody").text


def test_sort_filter_and_mark(cohort, opened):
    browser = opened(cohort)
    heading = next(each for each in browser.find_elements("css selector", "thead button") if each.text == "tumour ml")
    heading.click()
    browser.find_element("css selector", "th[aria-sort=ascending] button").click()
    assert browser.find_elements("css selector", "th[aria-sort=descending]")
    assert first_rows(browser, 1) == ["sub-023"]
    Select(browser.find_element("id", "show")).select_by_value("failed")
    assert first_rows(browser) == ["sub-x"]
    Select(browser.find_element("id", "show")).select_by_value("all")
    browser.find_element("id", "find").send_keys("sub-031")
    assert first_rows(browser) == ["sub-031"]
    strip = "return document.querySelector('#strips canvas').toDataURL()"
    before = browser.execute_script(strip)
    browser.find_element("css selector", "#table tbody td[title='done']").click()
    assert browser.execute_script(strip) != before
    assert browser.find_elements("css selector", "#table tr.marked")
    assert browser.find_element("id", "told").text == "sub-031 is marked"


def test_a_click_on_a_dot_marks_its_study_on_every_line(cohort, opened):
    browser = opened(cohort)
    canvas = browser.find_element("css selector", "#strips canvas")  # volumes, of which the largest is at the right end
    browser.execute_script(
        "const box = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new MouseEvent('click', {clientX: box.right - 6, clientY: box.top + 20}))",
        canvas,
    )
    assert browser.find_element("id", "told").text == "sub-023 is marked"
    told = [each.text for each in browser.find_elements("css selector", "#strips figcaption span:nth-child(2)")]
    assert told[0] == "500"
    assert "0.9" in told


def test_ratings_are_saved_to_a_file_and_read_from_it(cohort, opened):
    browser = opened(cohort)
    saved = browser.downloads / "ratings.json"
    saved.unlink(missing_ok=True)
    Select(browser.find_element("css selector", "select[aria-label='Rating of sub-023']")).select_by_value("bad")
    browser.find_element("id", "save").click()
    WebDriverWait(browser, 10).until(lambda _: saved.is_file())
    kept = json.loads(saved.read_text())["ratings"]
    assert kept.keys() == {"sub-023"}
    assert kept["sub-023"]["rating"] == "bad"
    browser.execute_script("localStorage.clear()")
    opened(cohort)
    browser.find_element("id", "load").send_keys(str(saved))
    WebDriverWait(browser, 10).until(lambda driver: "1 rated" in driver.find_element("id", "told").text)
    Select(browser.find_element("id", "show")).select_by_value("rated")
    assert first_rows(browser) == ["sub-023"]
    browser.execute_script("localStorage.clear()")


def test_ratings_beside_the_page_are_shown_to_everybody(tmp_path, opened):
    told = {"sub-b": {"rating": "doubtful", "time": "2026-01-02T03:04:05.678Z"}}
    (tmp_path / "ratings.json").write_text(json.dumps({"polyscan": "1", "ratings": told}))
    studies = [predicted(name, 20.0) for name in "ab"]
    write_cohort_page(Manifest(testing=studies), tmp_path / "r.html", tmp_path / "r")
    browser = opened(tmp_path / "r.html")
    assert "1 rated" in browser.find_element("id", "told").text
    chooser = Select(browser.find_element("css selector", "select[aria-label='Rating of sub-b']"))
    assert chooser.first_selected_option.text == "doubtful"
    chooser.select_by_value("good")  # which is later
    opened(tmp_path / "r.html")
    chooser = Select(browser.find_element("css selector", "select[aria-label='Rating of sub-b']"))
    assert chooser.first_selected_option.text == "good"
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize(
    "content", ["[]", '{"ratings": {"a": {"rating": "fine", "time": "2026-01-01"}}}', '{"ratings": 3}']
)
def test_a_file_of_no_ratings_is_named(tmp_path, content):
    (tmp_path / "ratings.json").write_text(content)
    with pytest.raises(PolyscanError, match="holds no ratings as the page of a cohort saves them"):
        write_cohort_page(Manifest(testing=[predicted("a", 1.0)]), tmp_path / "r.html", tmp_path / "r")


def test_lines_are_walked_by_the_arrow_keys(cohort, opened):
    browser = opened(cohort)
    line = browser.find_element("css selector", "#strips canvas")  # volumes, of which sub-023 has the largest
    line.send_keys(Keys.END)
    assert browser.find_element("id", "told").text == "sub-023 is marked"
    assert line.get_attribute("aria-valuetext") == "sub-023: 500"
    line.send_keys(Keys.ARROW_LEFT)
    second = float(line.get_attribute("aria-valuenow"))
    assert second < 30
    line.send_keys(Keys.ARROW_LEFT)
    assert float(line.get_attribute("aria-valuenow")) <= second
    line.send_keys(Keys.HOME, Keys.ARROW_LEFT)  # there is none below
    first = float(line.get_attribute("aria-valuenow"))
    assert first == float(line.get_attribute("aria-valuemin"))
    line.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("role") == "slider"  # the next line


def test_dots_have_the_colour_of_the_theme_that_is_chosen_while_the_page_is_open(cohort, opened):
    browser = opened(cohort)
    dot = (  # the colour of the most opaque pixel
        "const { width, height } = document.querySelector('#strips canvas');"
        "const { data } = document.querySelector('#strips canvas').getContext('2d').getImageData(0, 0, width, height);"
        "let best = 0; for (let i = 0; i < data.length; i += 4) if (data[i + 3] > data[best + 3]) best = i;"
        "return [...data.slice(best, best + 3)]"
    )

    def shown(scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        return browser.execute_async_script(f"requestAnimationFrame(() => arguments[0]((() => {{{dot}}})()))")

    light = sum(shown("light"))
    # the page may be told of the theme after a frame of it, where the machine is busy
    assert WebDriverWait(browser, 10).until(lambda _: sum(shown("dark")) > light + 100)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_many_rows_are_not_in_the_document_until_they_are_seen(tmp_path, opened):
    studies = [predicted(f"{k:04d}", 20.0 + k % 7) for k in range(2000)]
    write_cohort_page(Manifest(testing=studies), tmp_path / "r.html", tmp_path / "r")
    browser = opened(tmp_path / "r.html")
    assert len(browser.find_elements("css selector", "#table tbody tr")) < 100
    browser.execute_script("document.getElementById('table').scrollTop = 1e9")
    WebDriverWait(browser, 10).until(lambda _: "sub-1999" in first_rows(browser, 100))
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert 10 < len(re.findall(rb"/Type /Page\b", printed)) < 50
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(first_rows(browser, 1000)) == 500
    assert "first 500 of 2000 studies" in browser.find_element("id", "paper").get_attribute("textContent")
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(first_rows(browser, 1000)) < 100
    Select(browser.find_element("id", "as")).select_by_value("mosaic")
    assert 0 < len(browser.find_elements("css selector", ".tile")) < 200
    assert all(each.get_attribute("alt") for each in browser.find_elements("css selector", ".tile img"))


def test_report_of_a_folder(out, capsys, opened):
    assert main(["report", str(out), "--jobs", "1"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    assert sorted(path.name for path in (out / "report").iterdir() if path.suffix in (".html", ".jpg")) == [
        *("sub-boneb.html", "sub-boneb.jpg", "sub-two.html", "sub-two.jpg")
    ]
    text = (out / "report.html").read_text()
    for words in ("found in error in 1 of 1", "Not for clinical use", "CT in 2, T1 in 1 of 2", "brain 0.1"):
        assert words in text
    browser = opened(out / "report.html")
    browser.find_element("link text", "sub-boneb").click()
    assert browser.title == "sub-boneb - polyscan"
    manifest = read_manifest(out / "manifest.json")
    write_manifest(out / "manifest.json", replace(manifest, testing=manifest.testing[:1]))
    write_report(out, jobs=1)
    assert not (out / "report" / "sub-two.html").exists()


def test_page_says_where_scores_are_those_of_training(out):
    manifest = read_manifest(out / "manifest.json")
    write_manifest(out / "manifest.json", replace(manifest, training=manifest.testing, testing=[]))
    page = write_report(out, jobs=1).read_text()
    assert page.index("no study in its section testing") < page.index("tumour")
    assert '<td class="number">0.625</td><td class="number">4.2</td><td class="number">0</td>' in page
    data = json.loads((out / "report" / "studies.js").read_text().removeprefix("window.cohort = ").rstrip(";\n"))
    assert {"tumour dice", "tumour surface dice", "tumour hd95 mm"} < set(data["measures"])


def test_curves_of_the_training_are_shown_where_it_is_named(out, tmp_path, opened):
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(PolyscanError, match=r"run holds no training.png; name the folder of a training"):
        write_report(out, training=run)
    rows = [{"epoch": k, "loss/supervised": 1 / k, "val_dice": k / 9, "learning_rate": 0.1} for k in (1, 2, 3)]
    draw_curves(rows, run / "training.png")
    browser = opened(write_report(out, training=run, jobs=1))
    assert browser.execute_script("return document.querySelector('section img.curves').naturalWidth") == 960
    assert "Training" not in write_report(out, jobs=1).read_text()


def test_a_study_whose_page_cannot_be_drawn_is_named(out):
    first = read_manifest(out / "manifest.json").studies[0]
    Path(first.scans["T1"].path).write_bytes(b"torn")
    page = write_report(out, jobs=1)
    data = json.loads((out / "report" / "studies.js").read_text().removeprefix("window.cohort = ").rstrip(";\n"))
    assert "T1 cannot be read" in next(row[3] for row in data["rows"] if row[0] == "sub-boneb")
    assert dict(zip([row[0] for row in data["rows"]], data["pages"], strict=True))["sub-two"]
    assert page.is_file()


def test_folder_without_predictions_or_of_somebody_else(out, tmp_path):
    write_manifest(tmp_path / "manifest.json", Manifest(testing=[Study("a", scans={"CT": Scan("x")})]))
    with pytest.raises(PolyscanError, match="no predictions to draw"):
        write_report(tmp_path)
    with pytest.raises(PolyscanError, match="does not exist"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(PolyscanError, match=r"name a file that ends in \.html, such as .*pages\.html"):
        write_report(out, tmp_path / "pages")
    (out / "report").mkdir()
    (out / "report" / "mine.txt").write_text("x")
    with pytest.raises(PolyscanError, match="did not write"):
        write_report(out)


def test_outliers_by_the_modified_z_score():
    rows = [{"a": float(x), "b": 1.0, "c": "x"} for x in (1, 2, 3, 4, 5, 6, 7, 8, 100)]
    found = outlying(rows)
    assert found[:-1] == [{}] * 8
    assert found[-1] == {"a": pytest.approx(0.6745 * 95 / 2, abs=0.05)}
    few = outlying([{"a": 1.0}] * 7)
    assert few == [{}] * 7
    mostly_equal = outlying([{"a": 0.0}] * 9 + [{"a": 5.0}])
    assert mostly_equal[-1] == {"a": pytest.approx(0.7979 * 5 / 0.5, abs=0.05)}


def test_order_of_rows():
    rows = [{"study": f"s{k}", "status": "done", "problems": "", "a": float(k % 3)} for k in range(10)]
    rows[4]["a"], rows[6]["problems"] = 90.0, "CT: odd"
    rows.append({"study": "z", "status": "failed", "reason": "torn"})
    data = cohort_data(rows, {"s9": "no room"})
    assert [row[0] for row in data["rows"]][:5] == ["z", "s9", "s4", "s6", "s0"]
    assert data["pages"][:3] == [False, False, True]
    assert data["measures"] == ["a"]


def test_a_table_says_what_an_answer_cannot_be_trusted_for():
    """A network that learnt from a study, or never learnt a task or a word; the page shows no column without a cell."""
    plain, told = predicted("a", 1.0), predicted("b", 1.0)
    told.prediction = replace(told.prediction, learnt=True, unanswered=["grade"], unread=["sex"], stray_labels=[3, 5])
    first, second = rows_of([plain, told], [])
    names = ("learnt from", "unanswered", "unread", "stray labels")
    assert [[row[name] for name in names] for row in (first, second)] == [[None] * 4, ["yes", "grade", "sex", "3 5"]]
    data = cohort_data([first, second], {})
    assert [row[0] for row in data["rows"]] == ["sub-b", "sub-a"]
    assert {*names} < {*data["columns"]}
    assert not {"atypical", "session", *names} & {*cohort_data([first], {})["columns"]}


def test_summary_counts_empty_truth_apart():
    predictions = [
        PredictionRecord("", scores={"tumour": RegionScore(d, p, 0.0 if d is None else 1.0, far, near)})
        for d, p, far, near in [
            (0.8, 1, 2.0, 0.9),
            (0.6, 1, 5.0, 0.6),
            (0.7, 1, 3.0, 0.9),
            (0, 0, None, 0),
            (None, 0, None, None),
        ]
    ]
    (region,) = summarise(predictions)
    assert (region.count, region.mean, region.empty, region.false_positives) == (4, pytest.approx(0.525), 1, 0)
    assert (region.surface_dice, region.hd95_mm, region.missed) == (pytest.approx(0.6), 3, 1)
    (region,) = summarise(predictions[4:])
    assert (region.count, region.empty) == (0, 1)
    assert np.isnan([region.mean, region.median, region.low, region.high, region.surface_dice, region.hd95_mm]).all()
