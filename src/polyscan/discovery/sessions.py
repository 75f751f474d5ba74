"""Several sessions of one subject as one study, for networks that read before and after together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

from polyscan.discovery.visits import in_time
from polyscan.discovery.whose import bare
from polyscan.errors import PolyscanError
from polyscan.study import ScanKey, Study
from polyscan.study.table import read_rows

Dates = Mapping[tuple[str, str | None], date]
"""Subject and session to the day of the scans."""


def join_sessions(studies: Iterable[Study], dates: Dates) -> list[Study]:
    """Make one study of each subject: ``T1c`` of its second session becomes ``T1c@2``.

    Sessions are ordered by their dates, by their names where one has none. Of the dates themselves only the days since
    the first session are kept, under ``days``, where all are known. A mask is that of the first session that has one.
    """
    by_subject: dict[str, list[Study]] = defaultdict(list)
    for study in studies:
        by_subject[study.subject].append(study)
    return [_join(sessions, dates) for sessions in by_subject.values()]


def read_dates(folder: Path) -> dict[tuple[str, str | None], date]:
    """The dates that BIDS tables ``sub-01_sessions.tsv`` (session_id, acq_time) in a folder tell.

    Raises:
        PolyscanError: a table cannot be used.
    """
    dates: dict[tuple[str, str | None], date] = {}
    for path in sorted(folder.rglob("sub-*_sessions.tsv")):
        subject = bare(path.name.removesuffix("_sessions.tsv"))
        for row in read_rows(path):
            try:
                session = str(row["session_id"]).removeprefix("ses-")
                dates[subject, session] = date.fromisoformat(str(row["acq_time"])[:10])
            except (KeyError, ValueError):
                raise PolyscanError(
                    f"{path} has a row that tells no date; it needs session_id and acq_time such as 2026-03-01."
                ) from None
    return dates


def _join(sessions: list[Study], dates: Dates) -> Study:
    each = [dates.get((s.subject, s.session)) for s in sessions]
    known = [day for day in each if day is not None]
    told = len(known) == len(sessions)
    order = sorted(
        range(len(sessions)), key=lambda i: (known[i] if told else date.min, in_time(sessions[i].session or ""))
    )
    combined = Study(sessions[0].subject)
    for time, session in enumerate((sessions[i] for i in order), start=1):
        keys = {name: str(replace(ScanKey.parse(name), time=time)) for name in session.scans}
        combined.scans.update({keys[name]: scan for name, scan in session.scans.items()})
        combined.decisions += session.decisions
        if session.label and not combined.label:
            combined.label = replace(session.label, drawn_on=keys.get(session.label.drawn_on or ""))
        if time == 1:
            combined.aligned = [keys[name] for name in session.aligned]
    if told:
        combined.days = [(known[i] - min(known)).days for i in order]
    return combined
