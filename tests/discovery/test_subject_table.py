"""Rows are matched to studies by name, each once; what identifies somebody is not copied."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from polyscan.discovery.scan import scan
from polyscan.discovery.subject_table import SubjectTable
from polyscan.errors import PolyscanError
from polyscan.study.table import recorded, value


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


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("BraTS21ID,age\n00000,61\n", ("00000", None)),
        ("RID,PTID,VISCODE,age\n2,011_S_0002,bl,61\n2,011_S_0002,m06,62\n", ("011_S_0002", "bl")),
        ("bcr_patient_barcode,age\nTCGA-02-0001,61\n", ("TCGA-02-0001", None)),
        ("PATNO,EVENT_ID,age\n3102,BL,61\n", ("3102", None)),  # his only row
    ],
)
def test_columns_that_name_the_subject_in_public_collections(tmp_path, text, key):
    assert table(tmp_path, text).match([key])[0] == {key: {"age": "61"}}


def test_a_heading_that_holds_the_separator_is_refused(tmp_path):
    """Values would stand under the headings before theirs."""
    with pytest.raises(PolyscanError, match="has 4 headings and no row of so many columns; put quotes about a heading"):
        table(tmp_path, "id,HPV (0=-,1=+),age\n1,1,56\n2,0,61\n")


def test_codes_for_what_was_not_recorded_are_no_values(tmp_path):
    text = "id,age,score,change\n1,61,-9,-9\n2,-999,2,3\n3,70,0,-1\n"
    rows, said = table(tmp_path, text, ["age", "score", "change"]).match([(str(n), None) for n in (1, 2, 3)])
    assert recorded(rows["1", None]) == {"age": 61, "change": -9}
    assert recorded(rows["2", None]) == {"score": 2, "change": 3}
    assert said == ["t.csv: taken as not recorded: -999 of age, -9 of score"]


@pytest.mark.parametrize(
    ("cells", "values", "said"),
    [
        ("61,5|70,25|80", [61.5, 70.25, 80], "read with decimal commas: psa"),
        ("1,234|12,345|7", ["1,234", "12,345", 7], "texts among numbers, or that look like numbers: psa"),
        ("1.234,5|7.5|8", ["1.234,5", 7.5, 8], "texts among numbers, or that look like numbers: psa"),
        ("61 kg|70 kg|80 kg", ["61 kg", "70 kg", "80 kg"], "texts among numbers, or that look like numbers: psa"),
        ("<5|7|80+", ["<5", 7, "80+"], "texts among numbers, or that look like numbers: psa"),
        ("061Y|062Y|", ["061Y", "062Y", None], "texts among numbers, or that look like numbers: psa"),
        ("II|IIIa|IV", ["II", "IIIa", "IV"], ""),
        ("T1N0|T2N1|", ["T1N0", "T2N1", None], ""),
        ("999|75|60", [999, 75, 60], "perhaps not recorded: 999 of psa"),
        ("-1|7.5|6", [-1, 7.5, 6], "perhaps not recorded: -1 of psa"),
        ("-1|-2|6", [-1, -2, 6], ""),
        ("99|75|60", [99, 75, 60], ""),
        ("Not known|k.A.|6", [None, None, 6], ""),
        ("[Not Available]|'--|6", [None, None, 6], ""),
        ("26-30|31-35|36+", ["26-30", "31-35", "36+"], "texts among numbers, or that look like numbers: psa"),
    ],
)
def test_cells_that_people_write_in_many_ways_are_read_or_said(tmp_path, cells, values, said):
    lines = [f"{number}\t{cell}" for number, cell in enumerate(cells.split("|"))]
    rows, told = table(tmp_path, "\n".join(["id\tpsa", *lines])).match([(str(k), None) for k in range(3)])
    assert [recorded(rows[str(k), None]).get("psa") for k in range(3)] == values
    assert told == ([f"t.csv: {said}"] if said else [])


def test_a_table_with_semicolons_has_points_between_thousands_where_it_has_decimal_commas(tmp_path):
    text = "id;psa;dose;volume\n1;4,5;1.234;0.123\n2;1.234,5;2.500;1,5\n3;12.345;4.1;45\n4;4.6;;-2.000,25\n"
    rows, said = table(tmp_path, text).match([(str(k), None) for k in (1, 2, 3, 4)])
    assert [tuple(recorded(row).values()) for row in rows.values()] == [
        (4.5, 1.234, 0.123), (1234.5, 2.5, 1.5), (12345, 4.1, 45), (4.6, -2000.25)
    ]  # fmt: skip
    assert not said


def test_columns_without_a_heading_are_said(tmp_path):
    _, said = table(tmp_path, "id,age,,\nanna,61,5,\n").match([("anna", None)])
    assert said == ["t.csv: not used, unless named with --columns: column 3"]


def test_texts_as_excel_marks_them(tmp_path):
    rows, said = table(tmp_path, 'id,age\n"=""001""",61\n').match([("001", None)])
    assert rows == {("001", None): {"age": "61"}}
    assert not said


def test_subjects_and_sessions_as_others_write_them(tmp_path):
    floats = table(tmp_path, "id,age\n1.0,61\n2.0,70\n")  # of a spreadsheet that took 1 for a number
    rows, _ = floats.match([("1", None), ("10", None)])
    assert rows == {("1", None): {"age": "61"}}
    rows, said = table(tmp_path, "id,age\nsub-1_ses-1,61\nsub-1_ses-2,62\n").match([("1", "01"), ("1", "02")])
    assert [row["age"] for row in rows.values()] == ["61", "62"]
    assert not said


def test_digits_that_a_sign_parts_are_two_numbers(tmp_path):
    rows, _ = table(tmp_path, "id,age\nP12,61\n").match([("P1-2", None)])
    assert not rows


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


@pytest.mark.parametrize(
    "heading", ["Patient ID", "PatientID", "ID", "Subject", "subject-id", "Participant", "Case ID"]
)
def test_subjects_are_named_in_a_column_of_many_names(tmp_path, heading):
    (tmp_path / "t.csv").write_text(f"age,{heading}\n61,anna\n")
    found, _ = SubjectTable(tmp_path / "t.csv").match([("anna", None)])
    assert found == {("anna", None): {"age": "61"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("61", 61), ("6.5", 6.5), ("1e3", 1000), ("inf", "inf"), ("1e400", "1e400"), ("1_2", "1_2"), ("\u0663", "\u0663")],
)
def test_only_finite_numbers_are_numbers(text, expected):
    assert value(text) == expected


def test_words_for_what_is_not_recorded():
    row = {"age": "Unknown", "psa": "-", "site": "?", "grade": "n.a.", "ldh": "#DIV/0!", "smoker": "never"}
    assert recorded(row) == {"smoker": "never"}
    assert not recorded(dict(enumerate(["#N/A", "#NV", "#N/D", "#WERT!", "#¡DIV/0!", "#NOM?", "#BEZUG!"])))
    assert recorded({"room": "#5", "tag": "#never"}) == {"room": "#5", "tag": "#never"}


@pytest.mark.parametrize("fold", ["a", "1.5", "-1"])
def test_a_fold_that_is_no_number_is_refused(tmp_path, fold):
    (tmp_path / "anna").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "anna" / "T1.nii.gz")
    (tmp_path / "t.csv").write_text(f"id,fold\nanna,{fold}\n")
    with pytest.raises(PolyscanError, match="sub-anna has a fold in the table that is no whole number"):
        scan(tmp_path, clinical=tmp_path / "t.csv")


def test_what_is_known_beforehand_and_to_be_learnt_at_once_is_said(tmp_path):
    (tmp_path / "anna").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "anna" / "T1.nii.gz")
    (tmp_path / "t.csv").write_text("id,age,grade,split\nanna,61,4,testing\n")
    (tmp_path / "labels.csv").write_text("id,grade,split\nanna,4,testing\n")
    both = "clinical variables and labels at once: grade; choose the variables with --columns"
    files = {"clinical": tmp_path / "t.csv", "labels": tmp_path / "labels.csv"}
    assert both in scan(tmp_path, **files).doubts
    assert both not in scan(tmp_path, **files, columns=["age"]).doubts


def test_one_table_is_divided_into_what_is_known_and_what_is_to_be_learnt(tmp_path):
    (tmp_path / "0001").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "0001" / "T1.nii.gz")
    (tmp_path / "t.csv").write_bytes("\ufeffPatient ID;age;grade\r\n0001;61,5;high\r\n0002;;low\r\n".encode())
    found = scan(tmp_path, clinical=tmp_path / "t.csv", labels=tmp_path / "t.csv", columns=["age"])
    (study,) = found.studies
    assert (study.clinical, study.label.tasks) == ({"age": 61.5}, {"grade": "high"})
    assert [told for told in found.doubts if "t.csv" in told or "at once" in told] == [
        "t.csv: not used, unless named with --columns: column 3",
        "t.csv: rows without a study: 0002",
    ]
