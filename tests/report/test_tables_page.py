"""The pages of studies that are tables: nothing to draw, and everything to tell."""

from __future__ import annotations

import json

from polyscan.report import write_report, write_study_page
from polyscan.report.measures import rows_of
from polyscan.report.summary import summarise_answers, summarise_risks
from polyscan.study import ModelRecord, PredictionRecord, Scan, Study, TaskPrediction
from polyscan.study.manifest import Manifest, write_manifest


def survivor(folder, number, risk):
    """A patient with a table of genes, of whom it is known when the event was."""
    genes = folder / "scans" / f"{number}_genes.json"
    genes.parent.mkdir(exist_ok=True)
    genes.write_text(json.dumps({"IDH1_mut": number % 2}))
    study = Study(str(number), scans={"genes": Scan(str(genes))}, clinical={"age": 40 + number})
    answer = TaskPrediction(
        risk=risk,
        truth={"time": 10.5 - number, "event": 1.0},
        survival={"12": [0.91, 0.85, 0.95]},
        contributions={"clinical": risk + 0.2, "genes": -0.2},
    )
    model = ModelRecord("glioma_survival", modalities=["clinical", "genes", "expression"])
    path = folder / "out" / f"{number}_answer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    study.prediction = PredictionRecord(str(path), ["genes", "clinical"], answers={"survival": answer}, model=model)
    return study


def test_pages_of_tables_tell_risks_and_what_was_read(tmp_path):
    studies = [survivor(tmp_path, number, risk) for number, risk in enumerate((-0.5, 0.25, 0.5))]
    write_manifest(tmp_path / "out" / "manifest.json", Manifest(testing=studies))
    page = write_report(tmp_path / "out", jobs=1).read_text()
    assert "survival: Harrell's c 1.000 over 3 whose truth is known, 3 of them with the event." in page
    assert "the truth is not known" not in page.lower()
    data = (tmp_path / "out" / "report" / "studies.js").read_text()
    assert "has no page" not in data
    told = (tmp_path / "out" / "report" / "sub-0.html").read_text()
    assert "Read: genes, clinical" in told
    assert "survival: log hazard -0.50" in told
    assert "(true: event at 10.5)" in told
    assert "<strong>expression</strong> had no part in the answer: not found in the study" in told
    assert "<strong>clinical</strong>" not in told
    for cell in ("0.91", "0.85 to 0.95", "-0.30", "-0.20"):
        assert f'<td class="number">{cell}</td>' in told


def test_an_answer_without_samples_has_a_page_and_sampled_contributions_tell_their_errors(tmp_path):
    study = survivor(tmp_path, 0, 0.5)
    answer = study.prediction.answers["survival"]
    answer.survival = {"12": [0.91]}
    plain = write_study_page(study, tmp_path / "plain.html").read_text()
    assert '<td class="number">0.91</td>' in plain
    assert "dropout samples" not in plain
    assert "&plusmn;" not in plain
    answer.contribution_errors = {"clinical": 0.03, "genes": 0.011}
    told = write_study_page(study, tmp_path / "told.html").read_text()
    assert "(Shapley values, sampled, with standard errors)" in told
    for cell in ("+0.70 &plusmn; 0.03", "-0.20 &plusmn; 0.01"):
        assert f'<td class="number">{cell}</td>' in told


def test_rows_hold_risks_and_what_became_known(tmp_path):
    (row,) = rows_of([survivor(tmp_path, 1, 0.25)], [])
    assert {name: row[f"survival {name}"] for name in ("log hazard", "true time", "true event")} == {
        "log hazard": 0.25,
        "true time": 9.5,
        "true event": 1,
    }
    assert row["survival chance at 12"] == 0.91
    assert "survival truth" not in row


def test_risks_are_no_classes(tmp_path):
    predictions = [survivor(tmp_path, number, -number).prediction for number in range(2)]
    assert summarise_answers(predictions) == {}
    assert summarise_risks(predictions) == {"survival": (0.0, 2, 2)}
    predictions[0].answers["survival"].truth = None
    predictions[1].answers["survival"].truth = None
    assert summarise_risks(predictions) == {}
