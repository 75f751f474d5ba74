"""Rows are matched to studies by name, each once; what identifies somebody is not copied."""

from __future__ import annotations

import pytest

from polyscan.discovery.subject_table import SubjectTable
from polyscan.errors import PolyscanError


def table(tmp_path, text, columns=None):
    (tmp_path / "t.csv").write_text(text)
    return SubjectTable(tmp_path / "t.csv", columns)


def test_names_that_differ_in_zeros_case_and_signs_are_said(tmp_path):
    found, said = table(tmp_path, "id,age\n1,61\nP_12,62\nanna,63\nzoe,64\n").match(
        [("001", None), ("p-12", None), ("anna", "1"), ("anna", "2"), ("bert", None)]
    )
    ages = {key: row["age"] for key, row in found.items()}
    assert ages == {("001", None): "61", ("p-12", None): "62", ("anna", "1"): "63", ("anna", "2"): "63"}
    assert said == [
        "t.csv: taken for one another: 1 and 001, P_12 and p-12",
        "t.csv: rows without a study: zoe",
        "t.csv: studies without a row: bert",
    ]


def test_a_name_that_two_may_mean_is_nobodys(tmp_path):
    found, _ = table(tmp_path, "id,age\n1,61\n").match([("001", None), ("1", None)])
    assert list(found) == [("1", None)]
    found, said = table(tmp_path, "id,age\n1,61\n").match([("001", None), ("01", None)])
    assert found == {}
    assert "t.csv: rows without a study: 1" in said
    assert table(tmp_path, "id,age\n1,61\n01,62\n").match([("001", None)])[0] == {}


def test_two_rows_of_one_subject_need_sessions(tmp_path):
    with pytest.raises(PolyscanError, match="two rows of anna"):
        table(tmp_path, "id,age\nanna,1\nsub-anna,2\n")
    found, _ = table(tmp_path, "id,session,age\nanna,ses-a,1\nanna,b,2\n").match([("anna", "b"), ("anna", "a")])
    assert [row["age"] for row in found.values()] == ["2", "1"]


def test_what_tells_who_somebody_is_is_not_copied_unless_named(tmp_path):
    text = "id,age,BirthDate,Patient_Name,seen,site,split\nanna,61,1960-01-02,X,03.04.2021,B,testing\n"
    found, said = table(tmp_path, text).match([("anna", None)])
    assert found["anna", None] == {"age": "61", "site": "B", "split": "testing"}
    assert said == ["t.csv: not used, unless named with --columns: column 3, column 4, column 5"]
    found, said = table(tmp_path, text, ["age"]).match([("anna", None)])
    assert found["anna", None] == {"age": "61", "split": "testing"}
    with pytest.raises(PolyscanError, match="no column weight"):
        table(tmp_path, text, ["weight"])
    with pytest.raises(PolyscanError, match="participant_id"):
        table(tmp_path, "who,age\nanna,1\n")


def test_a_column_that_nobody_knows_is_used_only_where_it_is_named(tmp_path):
    text = "id,PSADensity,psa (ng/mL),Fallnummer,geboren,Arzt,age_at_scan\nanna,0.1,4,483920,19600102,Dr X,61\n"
    found, said = table(tmp_path, text).match([("anna", None)])
    assert found["anna", None] == {"PSADensity": "0.1", "psa (ng/mL)": "4", "age_at_scan": "61"}
    assert said == ["t.csv: not used, unless named with --columns: column 4, column 5, column 6"]
    found, _ = table(tmp_path, text, ["Fallnummer"]).match([("anna", None)])
    assert found["anna", None] == {"Fallnummer": "483920"}
    labels = SubjectTable(tmp_path / "t.csv", clinical=False)
    assert labels.unused == [5]
