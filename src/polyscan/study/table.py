"""Tables of clinical variables and labels, as hospitals and archives write them."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyscan.errors import PolyscanError

_UNRECORDED = {  # in any case, and in brackets or quotes
    "", "n/a", "na", "n.a.", "nan", "null", ".", "-", "--", "?", "unknown", "unk", "missing", "not available",
    "not recorded", "not known", "not applicable", "not done", "unbekannt", "k.a.", "n.d.",
    "not evaluated", "not reported",
}  # fmt: skip
_ERROR_OF_EXCEL = re.compile(r"#(?:n/?[adnv]|¡?[^\W\d_]+(?:/0)?[!?])")  # in its languages: #N/A, #NV, #DIV/0!, #WERT!
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SEPARATORS = ("\t", ",", ";", "|")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?")
_OF_EXCEL = re.compile(r'="(.*)"')  # how it is told that 001 is a text
_KINDS = {b"PK\x03\x04": "an Excel workbook or another archive", b"\xd0\xcf\x11\xe0": "an Excel 97 workbook"}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table, each heading to a text; see :func:`read_table`."""
    headings, rows = read_table(path)
    return [{name: cell for name, cell in zip(headings, row, strict=True) if name} for row in rows]


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The headings and the rows of a table, its texts without spaces about them.

    Encodings are UTF-8 and UTF-16 (with a mark), columns are separated by tabs, commas, semicolons or bars: whichever
    the headings have most of. Where semicolons do, a decimal comma is a decimal point, as in most of Europe, and points
    in a column with such commas part thousands: ``1.234`` is 1234 there.

    Raises:
        PolyscanError: it does not exist, is in another encoding or no text, a row has more columns than there are
            headings, or two headings are equal.
    """
    import pandas

    text = re.sub(r"^(?: *\n)+", "", _decoded(path).removeprefix("\ufeff"))
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\s*", first)  # of Excel
    if told:
        first, text = rest.partition("\n")[0], rest
    if not text.strip():
        return [], []
    separator = told[1] if told else max(_SEPARATORS, key=first.count)
    try:
        table = pandas.read_csv(
            io.StringIO(text), sep=separator, header=None, dtype=str, keep_default_na=False, skipinitialspace=True
        ).fillna("")
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, csv.Error) as error:
        row = re.search(r"line (\d+), saw (\d+)", str(error))
        what = f"has {row[2]} columns in line {row[1]}, the headings have fewer" if row else "is no table"
        raise PolyscanError(f"{path} {what}; save it again as CSV in UTF-8, with quotes about texts.") from None
    cells = [len(row) for row in csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)]
    if cells[1:] and max(cells[1:]) < cells[0] and table.iloc[0, -1].strip():
        raise PolyscanError(
            f"{path} has {cells[0]} headings and no row of so many columns; put quotes about a heading that holds "
            f"{separator!r}."
        )
    headings, *rows = [[_OF_EXCEL.sub(r"\1", str(cell)).strip() for cell in row] for row in table.to_numpy().tolist()]
    twice = [k for k, name in enumerate(headings, start=1) if name and headings.index(name) != k - 1]
    if twice:  # which may be a row of a table without headings, and is not repeated
        other = headings.index(headings[twice[0] - 1]) + 1
        raise PolyscanError(f"{path} has one heading over its columns {other} and {twice[0]}; rename one.")
    if separator == ";":
        rows = [list(row) for row in zip(*map(_with_points, zip(*rows, strict=True)), strict=True)]
    return headings, rows


def _with_points(column: Sequence[str]) -> Sequence[str]:
    """A column with points for its decimal commas, and without points between thousands if it has such commas."""
    if not any("," in cell and (DECIMAL_COMMA.fullmatch(cell) or _THOUSANDS.fullmatch(cell)) for cell in column):
        return column
    plain = [cell.replace(".", "") if _THOUSANDS.fullmatch(cell) else cell for cell in column]
    return [cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell for cell in plain]


def _decoded(path: Path) -> str:
    if not path.is_file():
        raise PolyscanError(f"{path} does not exist; give the path of a CSV or TSV table.")
    content = path.read_bytes()
    kind = next((name for start, name in _KINDS.items() if content.startswith(start)), None)
    if kind:
        raise PolyscanError(f"{path} is {kind}, no text; save the table as CSV in UTF-8.")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PolyscanError(
            f"{path} is not in UTF-8 (line {line}), perhaps in Windows-1252 or another older encoding; save it as CSV "
            "in UTF-8, so that names keep their letters."
        ) from None
    if "\0" in text:
        raise PolyscanError(f"{path} holds bytes of no text; save it as CSV in UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def recorded(row: Mapping[str, str]) -> dict[str, Any]:
    """What a row tells: column to value, without what was not recorded."""
    return {
        name: value(text)
        for name, text in row.items()
        if name and not _is_unrecorded((text or "").lower().strip("[]()'"))
    }


def _is_unrecorded(text: str) -> bool:
    return text in _UNRECORDED or _ERROR_OF_EXCEL.fullmatch(text) is not None


def value(text: str) -> float | int | str:
    """A number where the text is a finite one, a whole one where it is whole.

    Example:
        >>> value("61"), value("1e-3"), value("1_2"), value("inf")
        (61, 0.001, '1_2', 'inf')
    """
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number
