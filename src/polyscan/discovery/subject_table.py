"""The rows of a table of subjects, matched to studies: each once, and what has no partner is said."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from polyscan.discovery.whose import bare
from polyscan.errors import PolyscanError
from polyscan.study.table import DECIMAL_COMMA, read_table, recorded, value

_SUBJECT = (
    "participant_id", "subject", "id", "subject_id", "patient_id", "patient", "participant", "case_id", "ptid", "patno",
    "subjectkey", "external_code",
)  # fmt: skip
_ANY_ID = re.compile(r"(?:ID|(?:^|[_\W])(?i:id|barcode))$")  # BraTS21ID, IXI_ID, bcr_patient_barcode
_SESSION = ("session_id", "session", "visit", "viscode", "event_id", "eventname", "timepoint")
PLACING = ("split", "fold")
"""Columns that say in which part of a manifest a study stands."""
# What is used unasked, by a word of the column's name; of other columns nobody knows what they tell.
_CLINICAL = {
    "age", "sex", "gender", "weight", "bodyweight", "height", "bmi", "bsa", "handedness", "menopause", "smoking",
    "smoker", "alcohol", "diabetes", "hypertension", "pressure", "glucose", "creatinine", "haemoglobin",
    "hemoglobin", "leukocytes", "albumin", "crp", "ldh", "psa", "cea", "afp", "biomarker", "marker", "dose",
    "uptake", "tracer", "activity", "group", "arm", "treatment", "therapy", "surgery", "resection", "radiotherapy",
    "chemotherapy", "diagnosis", "histology", "grade", "stage", "tnm", "gleason", "pirads", "birads", "lirads",
    "rads", "score", "kps", "karnofsky", "ecog", "edss", "mmse", "moca", "updrs", "cdr", "tumour", "tumor", "lesion",
    "lesions", "volume", "density", "diameter", "location", "side", "laterality", "mutation", "mutated",
    "methylation", "idh", "mgmt", "codeletion", "egfr", "kras", "braf", "tp53", "brca", "ki67", "her2", "receptor",
    "survival", "event", "status", "response", "recurrence", "progression", "metastasis", "days", "months", "years",
    "site", "centre", "center", "scanner", "vendor", "manufacturer", "idh1",
}  # fmt: skip
# What tells who somebody is, by the name of its column; never copied unless it is named.
_IDENTIFYING = re.compile(
    r"\bid\b|birth|born|geboren|\bdob\b|geburt|naissance|nacimiento|\bname|name\b|nachname|vorname|surname|address|street|\bzip|post.?code|"
    r"phone|e.?mail|\bmrn\b|\bssn\b|insurance|accession|patient.?id|\bdate|date\b|comment|note|remark|report",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}.*|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}|(?:19|20)\d{2}[01]\d[0-3]\d")
_CODE = re.compile(r"-9{1,4}(?:\.0+)?")
_PERHAPS_CODE = re.compile(r"-[1-8]|9{2,4}")
_FAR = 2  # times the highest other number
# What begins as a number does and goes on with a unit, a limit or signs between thousands.
_NEARLY_NUMBER = re.compile(
    r"[<>≤≥~]=?\s*\d.*|\d+\s*[-–]\s*\d+|[\d.,' ]*\d\s*(?:%|\+|[^\W\d_]{2,}.*)|\d{3}[DWMY]|\d[\d.,' ]+\d|[+-]?inf"
)
Key = tuple[str, str | None]
"""Subject and session, as they stand in the table."""


class SubjectTable:
    """A table with one row a subject, or one a session where a column tells the session.

    Args:
        path: a CSV or TSV table whose column ``participant_id``, ``subject`` or ``id`` names the subjects.
        columns: those to use. Where not given, none that may tell who somebody is: names, dates, addresses.
        clinical: whether of the others only those are used whose name says that they are clinical variables, such as
            ``age`` or ``psa_density``, and not a number of the hospital's; otherwise all are.

    Attributes:
        path: of the table.
        named: the columns that were named to be used.
        unused: columns that are not used, counted from 1: what their headings say may be of a patient.
        codes: what stood for a value that was not recorded, such as -999, with its column.
        doubtful: what else is to be said of the values in the columns that are used: a description to names of columns.

    Raises:
        PolyscanError: the table cannot be read, has no column of subjects or none of ``columns``, or two rows of one
            subject.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, *, clinical: bool = True) -> None:
        headings, cells = read_table(path)
        rows = [dict(zip(headings, row, strict=True)) for row in cells]
        subject = _among(_SUBJECT, headings) or next(filter(_ANY_ID.search, headings), None)
        if subject is None:
            raise PolyscanError(f"{path} has no column {', '.join(_SUBJECT)}; name the subjects in one of them.")
        session = _among(_SESSION, headings)
        others = [name for name in headings if name and name not in (subject, session, *PLACING)]
        absent = [name for name in columns or () if name not in others]
        if absent:
            raise PolyscanError(f"{path} has no column {', '.join(absent)}; name columns as its first line does.")
        harmless = [name for name in others if not _identifying(name, rows)]
        known = [name for name in harmless if not _CLINICAL.isdisjoint(_words(name))] if clinical else harmless
        used = known if columns is None else list(columns)
        self.codes = _without_codes(rows, used)
        self.doubtful = {
            "read with decimal commas": _with_points(rows, used),
            "perhaps not recorded": _perhaps_codes(rows, used),
            "texts among numbers, or that look like numbers": [n for n in used if _are_nearly_numbers(rows, n)],
        }
        self.path = path
        self.named = {*(columns or ())}
        filled = [k for k, name in enumerate(headings) if name or any(row[k] for row in cells)]
        self.unused = [k + 1 for k in filled if headings[k] not in (subject, session, *PLACING, *used)]
        self._rows: dict[Key, dict[str, str]] = {}
        for row in rows:
            key = _key(row[subject], row[session] if session else "")
            if not key[0]:
                continue
            if key in self._rows:
                raise PolyscanError(
                    f"{path} has two rows of {key[0]}; keep one, or tell their sessions apart in a column session."
                )
            self._rows[key] = {name: row[name] for name in (*used, *PLACING) if name in row}
        self._keys_of: dict[str, list[Key]] = defaultdict(list)
        for key in self._rows:
            self._keys_of[key[0]].append(key)

    def match(self, studies: Sequence[Key]) -> tuple[dict[Key, dict[str, str]], list[str]]:
        """The row of each study that has one: that of its session, else that of its subject.

        Names that differ in case, in signs between their letters or in zeros before a number only are the same where no
        other row and no other subject has such a name.

        Args:
            studies: subject and session of each.

        Returns:
            Study to row, and a sentence each on columns that are not used, on names that differ, and on rows and
            studies without a partner.
        """
        found = {study: row for study in studies if (row := self._row_of(*study))}
        left = {study[0] for study in studies if study not in found}
        named = {key[0] for key in self._rows} - {key[0] for key in found.values()} - left
        guessed = {
            subject: rows[0]
            for subject in left
            if len(rows := _alike_among(subject, named)) == 1 and len(_alike_among(subject, left)) == 1
        }
        for subject, session in studies:
            if subject in guessed and (row := self._row_of(guessed[subject], session)):
                found.setdefault((subject, session), row)
        said = {
            "not used, unless named with --columns": [f"column {number}" for number in self.unused],
            "taken as not recorded": self.codes,
            **self.doubtful,
            "taken for one another": [f"{name} and {subject}" for subject, name in sorted(guessed.items())],
            "rows without a study": [_written(key) for key in self._rows if key not in found.values()],
            "studies without a row": [_written(key) for key in studies if key not in found],
        }
        sentences = [f"{self.path.name}: {what}: {', '.join(names)}" for what, names in said.items() if names]
        return {study: self._rows[key] for study, key in found.items()}, sentences

    def _row_of(self, subject: str, session: str | None) -> Key | None:
        """That of the session, whose zeros before a number tell nothing, else that of the subject, or his only one."""
        every = self._keys_of[subject]
        of_session = [key for key in every if not session or _alike(key[1] or "") == _alike(session)]
        asked = [(subject, session), *(of_session if len(of_session) == 1 else []), (subject, None)]
        return next((key for key in asked if key in self._rows), None)


def _among(names: Sequence[str], headings: Sequence[str]) -> str | None:
    """The heading that is the first of some names, in whichever case and with whichever signs between its words."""
    bare_of = {_alike(heading): heading for heading in reversed(headings)}
    return next((bare_of[_alike(name)] for name in names if _alike(name) in bare_of), None)


def _identifying(name: str, rows: Sequence[dict[str, str]]) -> bool:
    return bool(_IDENTIFYING.search(" ".join(_words(name)))) or any(_DATE.fullmatch(row[name]) for row in rows)


def _words(name: str) -> list[str]:
    """The words of a heading, in small letters: ``PSADensity_ng`` and ``psa density (ng)`` have the same."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def _key(subject: str, session: str) -> Key:
    """Whose a row is: its subject may name the session too, as ``sub-01_ses-2``; 1.0 of a spreadsheet is 1."""
    subject, _, behind = bare(subject).partition("_ses-")
    subject, session = (re.sub(r"^(\d+)\.0+$", r"\1", text) for text in (subject, session))
    return subject, session.removeprefix("ses-") or behind or None


def _without_codes(rows: Sequence[dict[str, str]], names: Iterable[str]) -> list[str]:
    """Empty the cells with a code for what was not recorded: -9, -99, -999 in a column with no other number below 0.

    Returns:
        Each code with the column that it stands in.
    """
    found = []
    for name in names:
        numbers = {row[name]: known for row in rows if isinstance(known := value(row[name]), (int, float))}
        codes = {text for text in numbers if _CODE.fullmatch(text)}
        if codes and len(codes) < len(numbers) and all(numbers[text] >= 0 for text in numbers.keys() - codes):
            found += [f"{code} of {name}" for code in sorted(codes)]
            for row in rows:
                row[name] = "" if row[name] in codes else row[name]
    return found


def _with_points(rows: Sequence[dict[str, str]], names: Iterable[str]) -> list[str]:
    """Write decimal commas as points in columns that have no points and some comma that parts no thousands.

    Returns:
        Those columns.
    """
    found = []
    for name in names:
        commas = {row[name] for row in rows if DECIMAL_COMMA.fullmatch(row[name])}
        decimal = any(len(text.partition(",")[2]) != len("000") for text in commas)
        if decimal and not any(isinstance(value(row[name]), float) for row in rows):
            found.append(name)
            for row in rows:
                row[name] = row[name].replace(",", ".") if row[name] in commas else row[name]
    return found


def _perhaps_codes(rows: Sequence[dict[str, str]], names: Iterable[str]) -> list[str]:
    """Numbers that may be codes, with their columns: the only one below 0, or nines far above all others."""
    found = []
    for name in names:
        numbers = {row[name]: known for row in rows if isinstance(known := value(row[name]), (int, float))}
        for text in sorted(filter(_PERHAPS_CODE.fullmatch, numbers)):
            others = [numbers[other] for other in numbers.keys() - {text}]
            if others and min(others) >= 0 and not 0 <= numbers[text] <= _FAR * max(others):
                found.append(f"{text} of {name}")
    return found


def _are_nearly_numbers(rows: Sequence[dict[str, str]], name: str) -> bool:
    """Whether a column has texts that look like numbers, or with a digit among numbers, as ``61 kg``, ``<5`` and 3b."""
    values = [known for row in rows if (known := recorded({name: row[name]}).get(name)) is not None]
    texts = [known for known in values if isinstance(known, str)]
    return any(map(_NEARLY_NUMBER.fullmatch, texts)) or 0 < len(texts) < len(values)


def _alike_among(name: str, others: Iterable[str]) -> list[str]:
    return [other for other in others if _alike(other) == _alike(name)]


def _alike(name: str) -> str:
    """What is the same of names that differ in case, in signs or in zeros before a number only."""
    parted = re.sub(r"(?<=\d)[\W_]+(?=\d)", "-", name.casefold())  # 1-2 is not 12
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[^\w-]+|_+|(?<!\d)-+|-+(?!\d)", "", parted))


def _written(key: Key) -> str:
    return key[0] if key[1] is None else f"{key[0]} ({key[1]})"
