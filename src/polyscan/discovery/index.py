"""What lies under a folder, kept in a file: each header is read once, and again only where its file changed.

A SQLite file, so that memory is level in the number of files: what is asked of it comes subject by subject. It holds
headers, so that only its owner may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydicom import Dataset

from polyscan import __version__
from polyscan.dicom.attributes import number, text
from polyscan.dicom.headers import DAMAGED, header_from, read_each
from polyscan.discovery.candidate import Candidate
from polyscan.discovery.dicom_candidates import dicom_candidates
from polyscan.discovery.numbered_visits import numbered_visits
from polyscan.discovery.patient import Key, Part, Patient, patient_key
from polyscan.discovery.persons import Place, by_data_set, persons_among
from polyscan.discovery.sidecar import changed_beside
from polyscan.discovery.visits import Owner, sessions_of
from polyscan.discovery.volumes import owner_of, volume_candidates
from polyscan.errors import PolyscanError
from polyscan.files.packed import archive_of
from polyscan.files.walk import Met, walked
from polyscan.formats.endings import ending_of, lone_half, stem_of, volumes_among
from polyscan.progress import Progress, silent

_OURS = 0x706F6C79  # SQLite's application_id
_AT_ONCE = 2048  # files
_WAIT = 86_400.0  # seconds for another scan that keeps its index in the same file
_PACKED = "a volume in a zip archive, of which DICOM only is read: unpack it first"
_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value);
CREATE TABLE keys (
    id INTEGER PRIMARY KEY, identifier TEXT, inside TEXT, study TEXT, UNIQUE (identifier, inside, study)
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path BLOB UNIQUE, folder BLOB, ending TEXT, size INTEGER, changed INTEGER,
    kind TEXT, reason TEXT, owner INTEGER, day TEXT, modality TEXT, instance TEXT, birth TEXT, sex TEXT,
    frames INTEGER
);
CREATE INDEX by_folder ON files (folder, kind, ending);
CREATE INDEX by_owner ON files (owner);
CREATE INDEX by_kind ON files (kind);
CREATE INDEX by_instance ON files (instance);
CREATE TABLE headers (file INTEGER PRIMARY KEY, start BLOB);
CREATE TABLE volumes (
    file INTEGER, subject TEXT, session TEXT, visit TEXT, candidate TEXT, named INTEGER, person TEXT, number TEXT
);
CREATE INDEX by_file ON volumes (file);
CREATE TABLE found (subject TEXT, session TEXT, made_from TEXT, candidates TEXT, PRIMARY KEY (subject, session));
"""


class Index:
    """The files under a folder and what they are.

    Args:
        folder: absolute, links not resolved.
        file: where it is kept; in a temporary file that vanishes with it where not given. What the file holds of
            another folder, or of another version of polyscan, is made anew.

    Raises:
        PolyscanError: the file is something else, or is damaged.
    """

    def __init__(self, folder: Path, file: str | Path | None = None) -> None:
        self.folder = folder
        self._file = None if file is None else Path(file)
        new = self._file is None or not self._file.exists() or not self._file.stat().st_size
        if self._file is not None and new:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._file, os.O_CREAT, 0o600))
        self._db = sqlite3.connect("" if self._file is None else self._file, timeout=_WAIT, isolation_level=None)
        try:
            self._begin()
        except sqlite3.OperationalError:  # of the disk, not of what the file holds
            self._db.close()
            raise
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise PolyscanError(
                f"{file} is no index that polyscan wrote, or is damaged; remove it or name a new file."
            ) from error

    def _begin(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # until it is closed or its process dies
        self._db.execute("PRAGMA synchronous = OFF")  # it can be made anew
        self._db.execute("BEGIN EXCLUSIVE")
        (ours,) = self._db.execute("PRAGMA application_id").fetchone()
        tables = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if tables and ours != _OURS:
            raise sqlite3.DatabaseError
        about = {"folder": os.fsencode(self.folder), "polyscan": __version__, "schema": _SCHEMA}
        if not tables or dict(self._db.execute("SELECT name, value FROM about")) != about:
            for name in tables:
                self._db.execute(f"DROP TABLE {name}")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_OURS}")
            self._db.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        self._db.execute("CREATE TEMP TABLE met (id INTEGER PRIMARY KEY)")
        self._db.execute("COMMIT")

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def refresh(self, progress: Progress = silent) -> None:
        """Read what is new or changed by size or time, and forget what is no longer there.

        Args:
            progress: told (files, files, remark) as files are met, however many there are.
        """
        self._db.execute("DELETE FROM temp.met")
        parts: dict[Path, str] = {}
        every, count = walked(self.folder), 0
        while some := list(islice(every, _AT_ONCE)):
            self._db.execute("BEGIN")
            parts |= self._take(some)
            self._db.execute("COMMIT")  # a scan that is cut short goes on from here
            count += len(some)
            progress(count, count, f"{count} files")
        self._db.execute("BEGIN")
        for path, reason in parts.items():  # read as something else before the volume was met that they belong to
            self._db.execute(
                "UPDATE files SET kind = 'part', reason = ?, owner = NULL WHERE path = ? AND kind <> 'volume'",
                (reason, self._written(path)),
            )
        self._db.execute("DELETE FROM files WHERE id NOT IN (SELECT id FROM temp.met)")
        for table in ("headers", "volumes"):
            self._db.execute(f"DELETE FROM {table} WHERE file NOT IN (SELECT id FROM files)")
        self._db.execute("COMMIT")

    def count(self) -> int:
        """How many files there are, without what the walk left out."""
        (found,) = self._db.execute("SELECT count(*) FROM files WHERE size IS NOT NULL").fetchone()
        return int(found)

    def left(self) -> Iterator[tuple[Path, str]]:
        """Files and folders that are no scan, with the reason; an empty one of files that are something else."""
        rows = self._db.execute(f"SELECT path, {_JUDGED} FROM files f WHERE kind IN ('left', 'part')")
        return ((self._path(path), reason) for path, reason in rows)

    def parts(self) -> Iterator[Part]:
        """The files of DICOM by patient, folder and study."""
        rows = self._db.execute(
            "SELECT identifier, inside, study, min(day), sum(frames), json_group_array(DISTINCT modality), "
            "json_group_array(DISTINCT birth), json_group_array(DISTINCT sex) "
            "FROM files f JOIN keys o ON f.owner = o.id GROUP BY o.id"
        )
        for identifier, inside, study, day, frames, *told in rows:
            kinds, births, sexes = (frozenset(json.loads(each)) - {None} for each in told)
            yield Part((identifier, inside, study), day, frames, kinds, births - {""}, sexes - {""})

    def share_images(self, one: Patient, other: Patient) -> bool:
        """Whether the folders of two with one PatientID hold an image in common."""
        folders = [sorted({key[1] for key in each.keys}) for each in (one, other)]
        mine, others = (", ".join("?" * len(each)) for each in folders)
        found = self._db.execute(
            "SELECT 1 FROM keys p CROSS JOIN files a ON a.owner = p.id CROSS JOIN files b ON b.instance = a.instance "
            f"JOIN keys q ON b.owner = q.id WHERE p.identifier = ? AND p.inside IN ({mine}) "
            f"AND q.identifier = ? AND q.inside IN ({others}) LIMIT 1",
            (one.identifier, *folders[0], other.identifier, *folders[1]),
        )
        return found.fetchone() is not None

    def dicom(self, keys: Iterable[Key], owner: tuple[str, str | None]) -> list[Candidate]:
        """What the files of one patient in one session are; worked out anew only where one of them changed."""
        members = [
            (self._path(path), file, size, changed)
            for key in keys
            for path, file, size, changed in self._db.execute(
                "SELECT path, f.id, size, changed FROM files f JOIN keys o ON f.owner = o.id "
                "WHERE identifier = ? AND inside = ? AND study = ?",
                key,
            )
        ]
        members.sort()
        folders = sorted({path.parent for path, *_ in members})
        beside = {folder: self._number_in(folder) for folder in folders}
        unread = {path: reason for folder in folders for path, reason in self._unread_in(folder)}
        made_from = hashlib.sha256(repr((members, beside, sorted(unread.items()))).encode("utf-8", "replace"))
        row = (owner[0], owner[1] or "", made_from.hexdigest())
        kept = self._db.execute(
            "SELECT candidates FROM found WHERE subject = ? AND session = ? AND made_from = ?", row
        ).fetchone()
        if kept is not None:
            found = [Candidate.from_json(each) for each in json.loads(kept[0])]
        else:
            read = ((path, self._header(path, file)) for path, file, *_ in members)
            headers = [(path, header) for path, header in read if header is not None]
            found = dicom_candidates(self.folder, headers, unread, beside)
            encoded = _json([each.to_json() for each in found])
            self._db.execute("INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?)", (*row, encoded))
        return [replace(each, subject=owner[0], session=owner[1]) for each in found]

    def volume_owners(self) -> tuple[dict[tuple[str, str | None], list[Owner]], list[str]]:
        """Subject and session to what the names of their volumes say, and what is doubtful about it."""
        persons, doubts = persons_among(self._places(named=False))
        in_sets, more = by_data_set(self._places(named=True))
        persons |= in_sets
        doubts += more
        self._db.execute("UPDATE volumes SET person = subject, number = ''")
        self._db.executemany("UPDATE volumes SET person = ? WHERE file = ?", ((who, n) for n, who in persons.items()))
        visits, several = numbered_visits(self._without_visit())
        self._db.executemany("UPDATE volumes SET number = ? WHERE file = ?", ((told, n) for n, told in visits.items()))
        kinds: dict[Owner, set[str]] = defaultdict(set)
        rows = self._db.execute(
            "SELECT DISTINCT person, session, visit || number, json_extract(candidate, '$.modality'), "
            "json_extract(candidate, '$.label') FROM volumes"
        )
        for *whose, kind, label in rows:
            kinds[Owner(*whose)] |= set() if label or not kind else {kind}
        found: dict[tuple[str, str | None], list[Owner]] = {}
        for owner, session in sessions_of(kinds).items():
            found.setdefault((owner.subject, session), []).append(owner)
        return found, [*doubts, *several]

    def _without_visit(self) -> dict[str, list[Place]]:
        """Subject to his volumes whose names tell no visit; those whose folders alone tell what they are, are none."""
        rows = self._db.execute(
            "SELECT person, file, path, json_extract(candidate, '$.modality'), json_extract(candidate, '$.label') "
            "FROM volumes JOIN files ON file = id WHERE NOT named AND session IS NULL AND visit = '' "
            "AND NOT json_extract(candidate, '$.by_folder')"
        )
        found: dict[str, list[Place]] = defaultdict(list)
        for person, file, written, kind, is_label in rows:
            found[person].append(_place(file, written, None if is_label else kind))
        return found

    def _places(self, named: bool) -> Iterator[Place]:
        """Where volumes lie whose names say whose they are, or do not; of the first only originals with a modality."""
        rows = self._db.execute(
            "SELECT file, path, json_extract(candidate, '$.modality'), json_extract(candidate, '$.label') OR "
            "(named AND json_extract(candidate, '$.rank[0]') > 0) FROM volumes JOIN files ON file = id WHERE named = ?",
            (named,),
        )
        return (_place(file, written, None if unused else kind) for file, written, kind, unused in rows)

    def volumes(self, named: Iterable[Owner], owner: tuple[str, str | None]) -> list[Candidate]:
        """What the volumes of a subject's session are, in the order of their names."""
        rows = [
            (self._path(path), json.loads(candidate))
            for each in named
            for path, candidate in self._db.execute(
                "SELECT path, candidate FROM volumes JOIN files ON file = id "
                "WHERE person = ? AND session IS ? AND visit || number = ?",
                (each.subject, each.session, each.visit),
            )
        ]
        rows.sort(key=lambda row: row[0])
        return [replace(Candidate.from_json(found), subject=owner[0], session=owner[1]) for _, found in rows]

    def _take(self, some: Sequence[Met]) -> dict[Path, str]:
        """Note what was met; returns what is part of a volume among it."""
        some = [
            replace(met, changed=met.changed + changed_beside(met.path))
            if met.left is None and ending_of(met.path.name)
            else met
            for met in some
        ]
        files = [met for met in some if met.left is None]
        packed = {met.path for met in files if ending_of(met.path.name) and archive_of(met.path)}
        volumes, parts = volumes_among(met.path for met in files if met.path not in packed)
        named = {**dict.fromkeys(volumes, "volume"), **dict.fromkeys(parts, "part")}
        to_read: dict[Path, Met] = {}
        for met in some:
            kind = named.get(met.path)
            if self._is_known(met, kind):
                continue
            if met.left is not None or met.path in packed:
                self._add(met, "left", met.left or _PACKED)
            elif kind == "volume":
                self._add_volume(met)
            elif kind == "part":
                self._add(met, "part", parts[met.path])
            else:
                to_read[met.path] = met
        for path, read in read_each(to_read):
            if read.header is None:
                self._add(to_read[path], "left", read.reason or lone_half(path))
            else:
                self._add_dicom(to_read[path], read.header, read.start)
        return parts

    def _is_known(self, met: Met, kind: str | None) -> bool:
        """Whether a file is as it was, and what its name and its neighbours make of it, too."""
        asked = "SELECT id, size, changed, kind, reason FROM files WHERE path = ?"
        known = self._db.execute(asked, (self._written(met.path),)).fetchone()
        if known is None:
            return False
        file, *state, was, reason = known
        if met.left is not None:
            same = state == [None, 0] and reason == met.left
        else:
            same = state == [met.size, met.changed] and (was == kind or (kind is None and was in ("dicom", "left")))
        if same:
            self._db.execute("INSERT OR IGNORE INTO temp.met VALUES (?)", (file,))
        return same

    def _add(self, met: Met, kind: str, reason: str = "", **told: Any) -> int:
        """Note a file or what was left out, and forget what it was before."""
        row = {
            "path": self._written(met.path),
            "folder": self._written(met.path.parent),
            "ending": met.path.suffix.lower(),
            "size": met.size if met.left is None else None,
            "changed": met.changed,
            "kind": kind,
            "reason": reason,
            **told,
        }
        self._db.execute("DELETE FROM files WHERE path = ?", (row["path"],))
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        added = self._db.execute(f"INSERT INTO files ({names}) VALUES ({marks})", tuple(row.values())).lastrowid
        assert added is not None
        for table in ("headers", "volumes"):
            self._db.execute(f"DELETE FROM {table} WHERE file = ?", (added,))  # whose number is used again
        self._db.execute("INSERT OR IGNORE INTO temp.met VALUES (?)", (added,))
        return added

    def _add_dicom(self, met: Met, header: Dataset, start: bytes) -> None:
        key = patient_key(self.folder, met.path, header)
        self._db.execute("INSERT OR IGNORE INTO keys (identifier, inside, study) VALUES (?, ?, ?)", key)
        (owner,) = self._db.execute(
            "SELECT id FROM keys WHERE identifier = ? AND inside = ? AND study = ?", key
        ).fetchone()
        image = bool(number(header, "Rows"))
        file = self._add(
            met,
            "dicom",
            owner=owner,
            day=text(header, "StudyDate") or "9",
            modality=text(header, "Modality") if image else None,
            instance=text(header, "SOPInstanceUID") if image else None,
            birth=text(header, "PatientBirthDate").strip().upper(),
            sex=text(header, "PatientSex").strip().upper(),
            frames=int(number(header, "NumberOfFrames") or 1),
        )
        if start:
            self._db.execute("INSERT INTO headers VALUES (?, ?)", (file, zlib.compress(start, 1)))

    def _add_volume(self, met: Met) -> None:
        owner, file = owner_of(self.folder, met.path), self._add(met, "volume")
        for candidate in volume_candidates(self.folder, met.path):
            row = (owner.subject, owner.session, owner.visit, _json(candidate.to_json()), owner.named)
            self._db.execute("INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", (file, *row))

    def _header(self, path: Path, file: int) -> Dataset | None:
        row = self._db.execute("SELECT start FROM headers WHERE file = ?", (file,)).fetchone()
        return header_from(path, zlib.decompress(row[0]) if row else b"")

    def _number_in(self, folder: Path) -> int:
        asked = "SELECT count(*) FROM files WHERE folder = ? AND kind = 'dicom'"
        (found,) = self._db.execute(asked, (self._written(folder),)).fetchone()
        return int(found)

    def _unread_in(self, folder: Path) -> Iterator[tuple[Path, str]]:
        rows = self._db.execute(
            f"SELECT path, {_JUDGED} AS judged FROM files f WHERE folder = ? AND kind = 'left' "
            "AND judged NOT IN ('', 'hidden')",
            (self._written(folder),),
        )
        return ((self._path(path), reason) for path, reason in rows)

    def _written(self, path: Path) -> bytes:
        text, start = str(path), f"{self.folder}{os.sep}"
        return os.fsencode(text.removeprefix(start) if text.startswith(start) else os.path.relpath(path, self.folder))

    def _path(self, written: bytes) -> Path:
        return self.folder / os.fsdecode(written)


def _place(file: int, written: bytes, modality: str | None) -> Place:
    *folders, name = Path(os.fsdecode(written)).parts
    return Place(file, tuple(folders), stem_of(name), modality)


# What is no DICOM but has the ending of DICOM files beside it is damaged.
_JUDGED = f"""CASE WHEN reason = '' AND kind = 'left' AND ending <> '' AND EXISTS (
    SELECT 1 FROM files d WHERE d.folder = f.folder AND d.kind = 'dicom' AND d.ending = f.ending
) THEN '{DAMAGED}' ELSE reason END"""


def _json(value: Any) -> str:
    return json.dumps(value, default=lambda number: number.item())  # numbers of numpy
