"""Where a batch stands, by what lies in its folder: the studies found, a record and a lock for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from polyscan.errors import PolyscanError
from polyscan.files.features import FEATURES
from polyscan.study.manifest import Manifest, read_manifest, read_record

STUDIES = "studies.json"
PARTS = ("prepared", "predictions", "pages", "records")
"""Folders of a batch that hold a part of each study's answer."""
FOLDERS = (*PARTS, "locks", FEATURES)


@dataclass
class Status:
    """Where a batch stands.

    Attributes:
        done, failed, running, waiting: keys of studies; ``failed`` with the reasons.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def record_of(out: Path, study: str) -> Path:
    """Where the record of a study lies, once it was answered or failed."""
    return out / "records" / f"{study}.json"


def record_files(out: Path) -> list[Path]:
    """The records that there are, whoever wrote them."""
    return list((out / "records").glob("[!.]*.json"))


def lock(out: Path, study: str) -> BaseFileLock:
    """Held while a study is worked on; the system lets it go when its holder dies."""
    (out / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(out / "locks" / f"{study}.lock")


def is_locked(out: Path, study: str) -> bool:
    """Whether some process works on a study."""
    try:
        with lock(out, study).acquire(timeout=0):
            return False
    except Timeout:
        return True


def read_records(out: Path) -> dict[str, Manifest]:
    """Study to its record, of all that were answered or failed, whoever did them."""
    found = {file.stem: read_record(file) for file in sorted(record_files(out))}
    return {key: record for key, record in found.items() if record is not None}


def batch_status(out: str | Path, records: Mapping[str, Manifest] | None = None) -> Status:
    """Where the batch in a folder stands, by its records and locks alone.

    Args:
        out: the folder.
        records: as :func:`read_records` gives them; they are read where not given.

    Raises:
        PolyscanError: the folder holds no batch.
    """
    out = Path(out)
    status = Status()
    if not (out / STUDIES).is_file():
        raise PolyscanError(f"{out} holds no batch; give the folder that polyscan batch or listen writes.")
    studies = read_manifest(out / STUDIES).studies
    records = read_records(out) if records is None else records
    for study in studies:
        record = records.get(study.key)
        if record is None:
            (status.running if is_locked(out, study.key) else status.waiting).append(study.key)
        elif record.failed:
            status.failed[study.key] = record.failed[0].reason
        else:
            status.done.append(study.key)
    return status
