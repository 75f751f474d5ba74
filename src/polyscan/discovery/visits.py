"""What the names of folders and files say of when a scan was made, and which session of its subject that makes it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

_START, _END = r"(?:^|[/_\W])", r"(?=[/_\W]|$)"
_WORD = re.compile(
    rf"{_START}(?:(?:session|ses|visit|study|timepoint|time|tp)[-_ ]?0*(?P<number>\d{{1,3}})"
    r"|(?P<word>baseline|follow[-_ ]?up"
    r"|(?:week|wk|month|day|year|yr|exam|fu|follow[-_ ]?up)[-_ ]?\d{1,4}(?:-\d)?|m\d{2,3}"
    rf"|(?:pre|post|intra|mid)[-_ ]?(?:op|surg|treat|ther|chemo|c?rt|tx|rx|biops|resec)[a-z]*)){_END}",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"(?:^|/)ses-(?P<session>[a-z0-9]+)(?=/)|"
    r"(?:^|/)(?P<word>[mvwdy]\d{1,3}|before|after|(?:19|20)\d\d(?:[-_.](?:0[1-9]|1[0-2]))?)(?=/)",
    re.IGNORECASE,
)
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[-_ t]?\d\d[-_:.]?\d\d(?:[-_:.]?\d\d(?:\.\d+)?)?)?"
_DATE = re.compile(
    rf"(?<![a-z\d])(?P<year>(?:19|20)\d\d)(?P<sign>[-_.]?)(?P<month>{_MONTH})(?P=sign)(?P<day>{_DAY}){_TIME}(?![a-z\d])"
    # 03-04-2003-NA-PET is of an archive of America: the 4th of March; so is what cannot be another day.
    rf"|(?<![a-z\d])(?P<m2>{_MONTH})-(?P<d2>{_DAY})-(?P<y2>(?:19|20)\d\d)(?=-)"
    rf"|(?<![a-z\d])(?P<d>{_DAY})(?P<s>[-_.])(?P<m>{_MONTH})(?P=s)(?P<y>(?:19|20)\d\d)(?![a-z\d])"
    rf"|(?<![a-z\d])(?P<m3>{_MONTH})(?P<s3>[-_.])(?P<d3>{_DAY})(?P=s3)(?P<y3>(?:19|20)\d\d)(?![a-z\d])",
    re.IGNORECASE,
)
_ORDER = ("baseline|before|pre|initial", "", "intra|mid", "after|post|follow|fu")
"""Beginnings of words in the order in which visits of these names follow each other."""


@dataclass(frozen=True)
class Owner:
    """Whose a volume is, by the names of its folders and file.

    Attributes:
        subject: ``sub-`` of BIDS, else the folder right under the one that is scanned.
        session: ``ses-`` of BIDS.
        visit: a word such as ``visit2``, which is a session only where the subject has several.
        named: whether the file's own name tells the subject.
    """

    subject: str
    session: str | None
    visit: str
    named: bool = field(default=False, compare=False)


def visit_of(path: str) -> str:
    """Which visit the names in a path below the subject's folder tell, such as ``"2"`` of ``study2_FLAIR.nii.gz``.

    Returns:
        A number, a word such as ``baseline`` or ``week12``, or a day as ``20260301``; empty where nothing tells.
    """
    if found := _WORD.search(path) or _WHOLE.search(path):
        parts = found.groupdict()
        return parts.get("number") or parts.get("session") or re.sub(r"\W|_", "", parts["word"].lower())
    if found := _DATE.search(path):
        fields = ("year", "month", "day", "y", "m", "d", "y2", "m2", "d2", "y3", "m3", "d3")
        return "".join(found[name] or "" for name in fields)
    return ""


def without_visit(text: str) -> str:
    """A text without the words of :func:`visit_of`."""
    return _DATE.sub(" ", _WORD.sub(" ", text))


def is_visit(folder: str) -> bool:
    """Whether a folder's name tells a visit and nothing else."""
    return bool(visit_of(f"{folder}/")) and not re.search(r"[^\W\d_]", without_visit(_WHOLE.sub(" ", f"{folder}/")))


def sessions_of(found: Mapping[Owner, Set[str]]) -> dict[Owner, str | None]:
    """The session of each owner.

    A word such as study1 tells visits apart only where there are several. Days do where a modality was scanned on two
    of them; they are numbered, since a date is a patient's own.

    Args:
        found: each owner with the modalities of the scans that are his.
    """
    visits: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for owner, kinds in found.items():
        if owner.visit:
            visits[owner.subject][owner.visit] |= kinds
    named: dict[str, dict[str, str]] = {}
    for subject, kinds_of in visits.items():
        days = sorted(filter(_is_day, kinds_of))
        apart = sum(map(len, kinds_of.values())) > len(set().union(*kinds_of.values()))
        if len(kinds_of) > 1 and (apart or len(days) < len(kinds_of)):
            named[subject] = {visit: visit for visit in kinds_of} | {day: str(k) for k, day in enumerate(days, start=1)}
    return {o: o.session or named.get(o.subject, {}).get(o.visit) for o in found}


def in_time(session: str) -> tuple:
    """What sessions are sorted by where no date is known: the order of their words, then of their numbers."""
    rank = next((k for k, words in enumerate(_ORDER) if words and re.match(words, session, re.IGNORECASE)), 1)
    parts = re.split(r"(\d+)", session.lower())
    return rank, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _is_day(visit: str) -> bool:
    return len(visit) >= len("2026") and visit.isdigit()
