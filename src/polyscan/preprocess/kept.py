"""What is prepared already, and whether it would become the same again; nothing that prepares is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from polyscan import __version__
from polyscan.files.digest import digest_of
from polyscan.files.numbered import numbered
from polyscan.formats.endings import is_volume, parts_of
from polyscan.preprocess.protocol import protocol_text
from polyscan.study import Study
from polyscan.study.manifest import paths_of, read_record
from polyscan.study.outputs import fingerprint

RECORD = "study.json"

# files of a data set of BIDS that tell what the values of its scans mean
_TELLING = ("*pet.json", "*sessions.tsv", "participants.*", "dataset_description.json")


def kept_study(study: Study, out: Path, protocol: str | Path, registered: bool = False) -> Study | None:
    """A study as an earlier run prepared it under ``out``; None where there is none, or anything changed or went since.

    Args:
        study: as :func:`polyscan.discovery.scan.scan` found it.
        out: the folder of all studies.
        protocol: its name or file.
        registered: see :func:`polyscan.preprocess.prepare.prepare`.
    """
    kept = read_record(out / study.key / RECORD)
    if study.preparation is not None or kept is None:
        return None
    wanted, (prepared,) = made_from(study, protocol, registered), kept.testing
    is_same = bool(wanted) and kept.made_from == wanted
    return prepared if is_same and all(Path(file).is_file() for file in paths_of(prepared)) else None


def made_from(study: Study, protocol: str | Path | None, registered: bool = False) -> str:
    """Changes where anything does that a prepared study is made from; empty where that cannot be told.

    Args:
        study: as :func:`polyscan.discovery.scan.scan` found it.
        protocol: its name or file; None where scans are read as they are.
        registered: see :func:`polyscan.preprocess.prepare.prepare`.
    """
    text = protocol_text(protocol) if protocol is not None else ""
    sources = paths_of(study)
    named = [word for word in re.split(r"[\s'\"]+", text) if word and Path(word).is_file()]
    try:
        files = fingerprint([*sources, *named, *_beside(sources)])
    except OSError:
        return ""
    return digest_of(__version__, text, registered, files, asdict(study))


def _beside(sources: Iterable[str]) -> list[str]:
    """The other parts of volumes; sidecars and tables of BIDS that tell what their values mean, there and above."""
    found: set[Path] = set()
    for source in sources:
        if is_volume(source):
            found |= set(parts_of(numbered(source)[0]))
            for folder in list(Path(source).absolute().parents)[:4]:
                found |= {path for name in _TELLING for path in folder.glob(name)}
    return sorted(map(str, found))
