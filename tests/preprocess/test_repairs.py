"""What was repaired when a scan was read stands in the study's record and in the cohort's table, without names."""

from dataclasses import replace

import pytest

from polyscan.discovery.scan import scan
from polyscan.preprocess.prepare import prepare
from polyscan.report.measures import rows_of
from polyscan.study import PredictionRecord


def one_slice_is_missing(k, ds):
    ds.ImagePositionPatient = [-10, -20, 3 * k + (3 if k >= 4 else 0)]


def one_slice_was_made_twice(k, ds):
    ds.ImagePositionPatient = [-10, -20, 3 * min(k, 6)]
    ds.AcquisitionTime = f"1200{k:02d}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (one_slice_is_missing, "slice steps from 3.00 to 6.00 mm: resampled to equal steps"),
        (one_slice_was_made_twice, "1 of 7 positions made twice: the later by AcquisitionTime is kept"),
    ],
)
def test_repaired_slices_are_told(make_series, tmp_path, change, said):
    make_series("ward/anna/CT", slices=8, change=change)
    found = scan(tmp_path / "ward")
    (decision,) = found.studies[0].decisions
    assert said in decision.reason
    (study,) = prepare(found, tmp_path / "prepared", registered=True, jobs=1).studies
    assert study.preparation.repairs == {"CT": said}
    (row,) = rows_of([replace(study, prediction=PredictionRecord("answer.json"))], [])
    assert row["repaired"] == f"CT: {said}"


def test_a_scan_as_it_should_be_has_no_repairs(make_series, tmp_path):
    make_series("ward/anna/CT", slices=8)
    (study,) = prepare(scan(tmp_path / "ward"), tmp_path / "prepared", registered=True, jobs=1).studies
    assert not study.preparation.repairs
    assert rows_of([replace(study, prediction=PredictionRecord("answer.json"))], [])[0]["repaired"] is None


def test_no_output_holds_the_name_of_a_file_that_cannot_be_read(make_series, tmp_path):
    series = make_series("ward/one/CT", slices=8)
    (series / "mueller_anna_003.dcm").write_bytes(b"spoiled")
    for path in make_series("other", modality="MR", StudyInstanceUID="1.2.3.4").iterdir():
        path.rename(series / f"mr{path.name}")  # so that the CT is a list of files, not a folder
    found = scan(tmp_path / "ward")
    assert any(
        "mueller_anna_003.dcm" in d.reason for d in found.studies[0].decisions
    )  # the manifest of scan is private
    out = tmp_path / "prepared"
    (study,) = prepare(found, out, registered=True, jobs=1).studies
    assert "so that slices may be missing (is damaged" in study.preparation.repairs["CT"]
    texts = [path for path in out.rglob("*.json") if path.name != "sources.json"]
    assert texts
    assert not [path for path in texts if "mueller" in path.read_text()]
