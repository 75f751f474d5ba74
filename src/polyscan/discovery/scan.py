"""Find the studies in a folder: which series is which modality of which patient, and what is left out and why."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path

from polyscan.discovery.candidate import Candidate
from polyscan.discovery.chosen import study_of
from polyscan.discovery.doubts import (
    doubts_of,
    of_any_mask,
    of_days_apart,
    of_divided,
    of_notes,
    of_parted,
    of_pre_and_post,
    of_sets_unused,
    of_several_labels,
    of_visits,
)
from polyscan.discovery.index import Index
from polyscan.discovery.names import distinct
from polyscan.discovery.patient import Key, tells_nobody
from polyscan.discovery.patients import name_patients
from polyscan.discovery.sessions import join_sessions, read_dates
from polyscan.discovery.subject_table import PLACING, SubjectTable
from polyscan.discovery.visits import Owner
from polyscan.discovery.whose import bare
from polyscan.errors import PolyscanError
from polyscan.files.walk import account, is_folder
from polyscan.formats.endings import is_volume
from polyscan.modality import modality
from polyscan.progress import Progress, silent
from polyscan.study import Decision, Study
from polyscan.study.manifest import SECTIONS, Manifest
from polyscan.study.roots import SCANS
from polyscan.study.table import recorded

Whose = tuple[str, str | None]
"""Subject and session."""


def scan(
    folder: str | Path,
    *,
    clinical: str | Path | None = None,
    labels: str | Path | None = None,
    join: bool = False,
    pet_units: str | None = None,
    columns: Sequence[str] | None = None,
    index: str | Path | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Find studies and series in a tree of DICOM and NIfTI files.

    Where a modality has several series, an original is taken before what was computed from one, then the one with the
    finest voxels, of equals that with the most slices, the softer kernel, then the latest. Every decision stands in the
    study's ``decisions``, or in the manifest's ``left_out`` where no study came of it, with all other files and folders
    that were left out. ``renamed`` says which subjects had to be renamed so that no two have one key, ``doubts`` which
    folders may be one patient's. Studies with a label come under ``training``, others under ``testing``, unless the
    table of clinical variables has a column ``split``.

    Args:
        folder: where to look.
        clinical: a CSV or TSV table with one row a subject, whose column ``participant_id``, ``subject`` or ``id``
            names it; ``participants.tsv`` in the folder where not given.
        labels: a table like it of what is to be learnt, such as ``grade`` or ``response``: its columns are labels.
        pet_units: the unit of PET volumes without a sidecar, such as ``"SUV"``: kept as ``given`` of their studies.
        columns: of the table of clinical variables those to use; where not given, those whose names say that they are
            clinical variables, but for dates. ``doubts`` says what was not used, and rows and studies without partner.
        index: a file in which what was read is kept, so that the next scan of the folder reads only what changed by
            size or time; see :class:`polyscan.discovery.index.Index`.
        progress: told (files, files, remark) as files are met, however many there are.
        join: make one study of a subject's sessions; see :func:`polyscan.discovery.sessions.join_sessions`.

    Raises:
        PolyscanError: the folder does not exist or holds no image, or the table cannot be used.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise PolyscanError(f"{folder} is no folder; give the folder that holds the scans.")
    folder = Path(os.path.normpath(folder.absolute()))  # not resolved: sidecars lie beside a link, not its target
    table = None
    if clinical or (folder / "participants.tsv").is_file():
        table = SubjectTable(Path(clinical or folder / "participants.tsv"), columns)
    elif columns is not None:
        raise PolyscanError(f"Columns are of a table of subjects, and {folder} has no participants.tsv; name one.")
    known = SubjectTable(Path(labels), clinical=False) if labels else None
    with Index(folder, index) as found:
        found.refresh(progress)
        return _scanned(found, table, known, join, pet_units)


def _scanned(
    index: Index,
    table: SubjectTable | None,
    known: SubjectTable | None,
    join: bool,
    pet_units: str | None,
) -> Manifest:
    manifest = Manifest(roots={SCANS: str(index.folder)})
    owned, apart = _by_owner(index, manifest)
    names = distinct(subject for subject, _ in owned)
    dates = read_dates(index.folder) if join else {}
    studies = _studies(index, owned, names, dates, manifest)
    manifest.doubts += [
        *of_notes(studies),
        *of_sets_unused(studies),
        *of_pre_and_post(studies),
        *of_several_labels(studies),
        *of_any_mask(studies),
    ]
    manifest.doubts += of_parted([[names[subject] for subject in each] for each in apart], studies)
    subjects = {study.subject for study in studies}
    manifest.doubts += of_divided(studies)
    manifest.doubts += of_visits(old for old, new in names.items() if new in subjects)
    manifest.renamed = {old: new for old, new in names.items() if old != new and new in subjects}
    every = join_sessions(studies, dates) if join else studies
    for name, one in (item for study in every for item in study.scans.items()):
        if pet_units and modality(name).name == "PET" and isinstance(one.source, str) and is_volume(one.source):
            one.given["Units"] = pet_units
    called = {new: bare(old) for old, new in names.items()}
    _place_all(manifest, every, [(called[study.subject], study.session) for study in every], table, known)
    return manifest


def _by_owner(index: Index, manifest: Manifest) -> tuple[dict[Whose, tuple[list[Key], list[Owner]]], list[list[str]]]:
    """Subject and session to their DICOM and to their volumes, and subjects that only a PatientID tells apart.

    Doubts about whose they are go into the manifest.
    """
    owner_of, apart, doubts = name_patients(index.folder, index.parts(), index.share_images)
    dicom: dict[Whose, list[Key]] = defaultdict(list)
    for examined, owner in owner_of.items():
        dicom[owner].append(examined)
    volumes, more = index.volume_owners()
    manifest.doubts += [*doubts, *more]
    every = sorted({*dicom, *volumes}, key=lambda owner: (owner[0], owner[1] or ""))
    return {owner: (dicom.get(owner, []), volumes.get(owner, [])) for owner in every}, apart


def _studies(
    index: Index,
    owned: Mapping[Whose, tuple[list[Key], list[Owner]]],
    names: Mapping[str, str],
    dates: dict[Whose, date],
    manifest: Manifest,
) -> list[Study]:
    """The studies with a scan; what is left out and what is doubtful goes into the manifest, days into ``dates``.

    Raises:
        PolyscanError: there is none.
    """
    left = [Decision(**entry) for entry in account(index.folder, index.left())]
    studies, any_scan, reasons = [], False, {f"{entry.series}: {entry.reason}" for entry in left}
    apart: dict[str, int] = {}
    for owner, candidates in _by_visit(index, owned):
        any_scan = any_scan or any(c.modality and not c.label for c in candidates)
        reasons = set() if any_scan else {*sorted({*reasons, *(c.reason for c in candidates)})[:3]}
        study = study_of(names[owner[0]], owner[1], candidates)
        if study.scans:
            studies.append(study)
            manifest.doubts += doubts_of(study, owner[0])
            if days := [c.day for c in candidates if c.day is not None]:
                dates.setdefault((study.subject, study.session), min(days))
            if days := [c.day for c in candidates if c.day is not None and c.modality]:
                apart[study.key] = (max(days) - min(days)).days
        else:
            manifest.left_out += study.decisions
    if not any_scan:
        raise PolyscanError(
            f"No images found in {index.folder}: {index.count()} files, none of them a DICOM or NIfTI scan that can be "
            "used" + (f" ({'; '.join(sorted(reasons)[:3])})." if reasons else "; give the folder that holds the scans.")
        )
    manifest.left_out += left
    manifest.doubts += of_days_apart(apart)
    return studies


def _by_visit(
    index: Index, owned: Mapping[Whose, tuple[list[Key], list[Owner]]]
) -> Iterator[tuple[Whose, list[Candidate]]]:
    """What each owner's files are, sessions of one day that have no modality in common as one.

    One examination is often registered as two studies, such as a head and its angiography. Where a PatientID tells
    nobody, those of one day may be two patients'.
    """
    for subject, of_subject in groupby(owned.items(), key=lambda item: item[0][0]):
        visits: dict[str | None, list[Candidate]] = {}
        several = list(of_subject)
        known = not any(tells_nobody(identifier) for _, (dicom, _) in several for identifier, _, _ in dicom)
        for owner, (dicom, volumes) in several:
            candidates = [*index.dicom(dicom, owner), *index.volumes(volumes, owner)]
            same = (session for session, others in visits.items() if known and _of_one_visit(others, candidates))
            visits.setdefault(next(same, owner[1]), []).extend(candidates)
        for session, candidates in visits.items():
            yield (subject, None if len(visits) == 1 < len(several) else session), candidates


def _of_one_visit(some: Sequence[Candidate], others: Sequence[Candidate]) -> bool:
    """Whether scans were made on one day and none is of the modality of another."""
    days = {c.day for c in (*some, *others) if c.modality and not c.label}
    mine, theirs = ({c.modality for c in each if not c.label} - {None} for each in (some, others))
    return len(days) == 1 and None not in days and mine.isdisjoint(theirs)


def _place_all(
    manifest: Manifest,
    studies: Sequence[Study],
    keys: Sequence[Whose],
    table: SubjectTable | None,
    known: SubjectTable | None,
) -> None:
    """Add studies to their sections with what tables say of them.

    Args:
        manifest: that they are added to.
        studies: all of them.
        keys: what tables may call each.
        table: of clinical variables.
        known: of labels. Of one that is the other table too, what is named to be a variable is no label.
    """
    clinical_of, said = table.match(keys) if table else ({}, [])
    known_of, more = known.match(keys) if known else ({}, [])
    if table and known and table.path == known.path:
        known_of = {key: {k: v for k, v in row.items() if k not in table.named} for key, row in known_of.items()}
        more = [told for told in more if told not in said]
    for key, study in zip(keys, studies, strict=True):
        tasks = {name: text for name, text in known_of.get(key, {}).items() if name not in PLACING}
        study.label.tasks.update(recorded(tasks))
        _place(manifest, study, clinical_of.get(key, {}))
    manifest.doubts += [*said, *more, *_of_both(clinical_of.values(), known_of.values())]


def _of_both(clinical: Iterable[dict[str, str]], labels: Iterable[dict[str, str]]) -> list[str]:
    """Say which columns are known beforehand and to be learnt: a network would be told what it is asked."""
    both = {name for row in clinical for name in row} & {name for row in labels for name in row} - {*PLACING}
    names = ", ".join(sorted(both))
    return [f"clinical variables and labels at once: {names}; choose the variables with --columns"] if both else []


def _place(manifest: Manifest, study: Study, row: dict[str, str]) -> None:
    """Add a study with its clinical variables to its section."""
    row = dict(row)
    section = row.pop("split", "") or ("training" if study.label else "testing")
    if section not in SECTIONS:
        raise PolyscanError(f"{study.key} has another split in the table than {', '.join(SECTIONS)}; correct it.")
    fold = row.pop("fold", "")
    if fold and not fold.isdecimal():
        raise PolyscanError(f"{study.key} has a fold in the table that is no whole number from 0; correct it.")
    study.fold = int(fold) if fold else None
    study.clinical = recorded(row)
    getattr(manifest, section).append(study)
