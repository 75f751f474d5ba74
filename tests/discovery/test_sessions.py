"""Before and after as one study: order, days, labels."""

from __future__ import annotations

import csv
from datetime import date

import pydicom
import pytest

from polyscan.discovery.scan import scan
from polyscan.discovery.sessions import join_sessions
from polyscan.errors import PolyscanError
from polyscan.phantom import make_cohort
from polyscan.study import Scan, Study


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits") / "c"
    make_cohort(folder, subjects=2, seed=3, modalities=("T1c", "FLAIR"), missing=0.0, visits=2, jobs=1)
    return folder


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_sessions_become_one_study_with_days_and_labels(cohort):
    truth = cohort / "derivatives" / "truth" / "labels.tsv"
    studies = scan(cohort, labels=truth, join=True).studies
    assert [study.key for study in studies] == ["sub-001", "sub-002"]
    for study, label in zip(studies, rows(truth), strict=True):
        assert sorted(study.scans) == ["FLAIR@1", "FLAIR@2", "T1c@1", "T1c@2"]
        assert "ses-2" in study.scans["T1c@2"].path
        assert study.label.drawn_on == "T1c@1"
        assert study.label.tasks["response"] == label["response"]
        first, second = (date.fromisoformat(r["acq_time"]) for r in rows(next(cohort.glob(f"{study.key}/*.tsv"))))
        assert study.days == [0, (second - first).days]
        assert 56 <= study.days[1] <= 112
        assert "split" not in study.clinical
    apart = scan(cohort).studies
    assert [study.key for study in apart][:2] == ["sub-001_ses-1", "sub-001_ses-2"]
    assert "response" not in apart[0].label.tasks


def test_dicom_tells_the_days_itself(tmp_path):
    make_cohort(tmp_path / "c", subjects=1, seed=3, modalities=("FLAIR",), missing=0.0, visits=2, format="dicom")
    for table in (tmp_path / "c").rglob("*_sessions.tsv"):
        table.unlink()
    (study,) = scan(tmp_path / "c", join=True).studies
    dates = [
        pydicom.dcmread(next((tmp_path / "c/sub-001" / s / "FLAIR").iterdir())).StudyDate for s in ("ses-1", "ses-2")
    ]
    days = (date.fromisoformat(f"{dates[1][:4]}-{dates[1][4:6]}-{dates[1][6:]}") - date(2020, 1, 1)).days
    assert study.days == [0, days]
    assert not any(d in str(study) for d in dates), "dates must not be kept"


def test_sessions_without_dates_are_ordered_by_name():
    made = [Study("1", session=s, scans={"T1c": Scan(s)}) for s in ("b", "a")]
    (study,) = join_sessions(made, {})
    assert study.scans == {"T1c@1": Scan("a"), "T1c@2": Scan("b")}
    assert study.days == []
    (study,) = join_sessions(made, {("1", "a"): date(2026, 3, 1), ("1", "b"): date(2026, 1, 1)})
    assert study.scans == {"T1c@1": Scan("b"), "T1c@2": Scan("a")}
    assert study.days == [0, 59]


def test_a_table_without_dates_is_refused(cohort, tmp_path):
    bad = tmp_path / "sub-001_sessions.tsv"
    bad.write_text("session_id\tacq_time\nses-1\tsoon\n")
    (tmp_path / "sub-001").mkdir()
    source = next(cohort.rglob("sub-001_ses-1_FLAIR.nii.gz"))
    (tmp_path / "sub-001" / source.name).write_bytes(source.read_bytes())
    with pytest.raises(PolyscanError, match="has a row that tells no date"):
        scan(tmp_path, join=True)
