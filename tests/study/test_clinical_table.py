"""Tables are read as they are written in most places, and refused by name where they are not."""

from __future__ import annotations

import pytest

from polyscan.errors import PolyscanError
from polyscan.study.table import read_rows, recorded

ROWS = [{"id": "Müller", "age": "61.5", "note": "a, b"}, {"id": "2", "age": "", "note": ""}]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('id,age,note\nMüller,61.5,"a, b"\n2,,\n', "utf-8"),
        ('id,age,note\r\nMüller, 61.5 ,"a, b"\r\n2,,\r\n', "utf-8-sig"),
        ('id;age;note\nMüller;61,5;"a, b"\n2;;\n', "utf-8"),
        ('\n  \nid;age;note\nMüller;61,5;"a, b"\n2;;\n', "utf-8"),
        ('sep=;\nid;age;note\nMüller;61,5;"a, b"\n2;;\n', "utf-8"),
        ("id\tage\tnote\nMüller\t61.5\ta, b\n2\t\t\n", "utf-16"),
        ("id|age|note\nMüller|61.5|a, b\n2||\n", "utf-8"),
    ],
)
def test_every_usual_kind(tmp_path, text, encoding):
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert read_rows(tmp_path / "t.csv") == ROWS
    assert recorded(ROWS[0])["age"] == 61.5
    assert recorded(ROWS[1]) == {"id": 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,name\n1,Müller\n".encode("cp1252"), r"not in UTF-8 \(line 2\)"),
        (b"PK\x03\x04xx", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0xx", "Excel 97"),
        (b"id,age\n1,2,3\n", "3 columns in line 2"),
        (b"id,age,age\n1,2,3\n", "one heading over its columns 2 and 3"),
        (b"id,age\n1\x00,2\n", "bytes of no text"),
        (b'id,age\n"1,2\n', "save it again as CSV"),
    ],
)
def test_what_is_refused(tmp_path, content, words):
    with pytest.raises(PolyscanError, match="does not exist; give the path of a CSV or TSV table"):
        read_rows(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(PolyscanError, match=words):
        read_rows(tmp_path / "t.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    assert read_rows(tmp_path / "empty.csv") == []
