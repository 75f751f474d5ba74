"""Find the studies in a folder: which series is which modality of which patient, and what is left out and why."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from polyscan.dicom.attributes import text
from polyscan.dicom.diffusion import b_value
from polyscan.dicom.headers import read_files
from polyscan.dicom.series import Series, group, grouped
from polyscan.discovery.candidate import Candidate
from polyscan.discovery.labels import drawn_on
from polyscan.discovery.names import distinct
from polyscan.discovery.patients import bare, name_patients, patient_key
from polyscan.discovery.sessions import join_sessions, read_dates
from polyscan.discovery.subject_table import PLACING, SubjectTable
from polyscan.discovery.volumes import volume_candidates
from polyscan.errors import PolyscanError
from polyscan.files.packed import archive_of
from polyscan.files.walk import account, is_folder, walk
from polyscan.formats.endings import ending_of, is_volume, volumes_among
from polyscan.modality import by_precedence, modality
from polyscan.study import Decision, Label, Scan, Source, Study
from polyscan.study.manifest import SECTIONS, Manifest
from polyscan.study.table import recorded

# What the parts of a rank say, where they differ, of the scan that is taken.
_RANKS = (
    "is nearer to an original scan or to the usual b-value",
    "has finer voxels ({mine:g} and {others:g} mm3)",
    "has more slices",
    "is later, or comes first by its name",
)
_USUAL_B = 1000.0  # s/mm2


def scan(
    folder: str | Path,
    *,
    clinical: str | Path | None = None,
    labels: str | Path | None = None,
    join: bool = False,
    pet_units: str | None = None,
    columns: Sequence[str] | None = None,
) -> Manifest:
    """Find studies and series in a tree of DICOM and NIfTI files.

    Where a modality has several series, the one with the finest voxels is taken, of equals that with the most slices,
    then the latest. Every decision stands in the study's ``decisions``, or in the manifest's ``left_out`` where no
    study came of it, with all other files and folders that were left out. ``renamed`` says which subjects had to be
    renamed so that no two have one key, ``doubts`` which folders may be one patient's. Studies with a label come under
    ``training``, others under ``testing``, unless the table of clinical variables has a column ``split``.

    Args:
        folder: where to look.
        clinical: a CSV or TSV table with one row a subject, whose column ``participant_id``, ``subject`` or ``id``
            names it; ``participants.tsv`` in the folder where not given.
        labels: a table like it of what is to be learnt, such as ``grade`` or ``response``: its columns are labels.
        pet_units: the unit of PET volumes without a sidecar, such as ``"SUV"``: kept as ``given`` of their studies.
        columns: of the table of clinical variables those to use; all where not given, but for names, dates and what
            else tells who somebody is. ``doubts`` says what was not used, and rows and studies without partner.
        join: make one study of a subject's sessions; see :func:`polyscan.discovery.sessions.join_sessions`.

    Raises:
        PolyscanError: the folder does not exist or holds no image, or the table cannot be used.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise PolyscanError(f"{folder} is no folder; give the folder that holds the scans.")
    folder = Path(os.path.normpath(folder.absolute()))  # not resolved: sidecars lie beside a link, not its target
    files, left_out = walk(folder)
    packed = {file for file in files if ending_of(file.name) and archive_of(file)}
    left_out |= dict.fromkeys(packed, "a volume in a zip archive, of which DICOM only is read: unpack it first")
    volumes, parts = volumes_among(file for file in files if file not in packed)
    series, others, doubts = _dicom(
        folder, [path for path in files if path not in {*volumes, *parts, *packed}], left_out
    )
    found = [*series, *volume_candidates(folder, volumes)]
    entries = [Decision(**entry) for entry in account(folder, {**left_out, **others, **parts})]
    if not any(c.modality and not c.label for c in found):
        left = "; ".join(sorted({c.reason for c in found} | {f"{e.series}: {e.reason}" for e in entries})[:3])
        raise PolyscanError(
            f"No images found in {folder}: {len(files)} files, none of them a DICOM or NIfTI scan that can be used"
            + (f" ({left})." if left else "; give the folder that holds the scans.")
        )
    table = _read_table(Path(clinical) if clinical else folder / "participants.tsv", columns, clinical is not None)
    known = _read_table(Path(labels), None, needed=True) if labels else None
    by_study: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for candidate in found:
        by_study[(candidate.subject, candidate.session or "")].append(candidate)
    names = distinct(subject for subject, _ in by_study)
    manifest, studies, dates = Manifest(roots={"scans": str(folder)}), [], read_dates(folder) if join else {}
    manifest.doubts = doubts
    manifest.renamed = {old: new for old, new in names.items() if old != new}
    for (subject, session), candidates in sorted(by_study.items()):
        study = _study(names[subject], session or None, candidates)
        if study.scans:
            studies.append(study)
            days = [c.day for c in candidates if c.day is not None]
            if days:
                dates.setdefault((study.subject, study.session), min(days))
        else:
            manifest.left_out += study.decisions
    manifest.left_out += entries
    called = {new: bare(old) for old, new in names.items()}
    every = join_sessions(studies, dates) if join else studies
    keys = [(called[study.subject], study.session) for study in every]
    clinical_of, said = table.match(keys) if table else ({}, [])
    known_of, more = known.match(keys) if known else ({}, [])
    for key, study in zip(keys, every, strict=True):
        for name, one in study.scans.items():
            if pet_units and modality(name).name == "PET" and isinstance(one.source, str) and is_volume(one.source):
                one.given["Units"] = pet_units
        tasks = {name: text for name, text in known_of.get(key, {}).items() if name not in PLACING}
        study.label.tasks.update(recorded(tasks))
        _place(manifest, study, clinical_of.get(key, {}))
    manifest.doubts += [*said, *more]
    return manifest


def _study(subject: str, session: str | None, candidates: list[Candidate]) -> Study:
    study = Study(subject, session)
    decisions = study.decisions
    taken: dict[str, Candidate] = {}
    for c in sorted((c for c in candidates if c.modality and not c.label), key=_order):
        assert c.modality is not None
        first = taken.setdefault(c.modality, c)
        reason = c.reason if first is c else f"{c.reason}; {first.name} {_better(first.rank, c.rank)}"
        decisions.append(Decision(c.name, c.modality, first is c, reason))
    study.scans = {name: Scan(taken[name].source) for name in sorted(taken)}
    drawn = [_placed(c, taken) for c in candidates if c.label]
    labels = [c for c in drawn if c.modality in taken]
    order = by_precedence(taken)
    labels.sort(key=lambda c: order.index(str(c.modality)))
    for rank, c in enumerate(labels):
        if rank == 0:
            study.label = Label(str(c.source), c.modality)
        reason = c.reason if rank == 0 else f"{c.reason}; {labels[0].name} is taken"
        decisions.append(Decision(c.name, f"label on {c.modality}", rank == 0, reason))
    for c in (*drawn, *(c for c in candidates if not c.label)):
        if c.modality is None or (c.label and c.modality not in taken):
            decisions.append(Decision(c.name, c.modality, False, c.reason))
    frames = [frame for c in taken.values() if (frame := _frame(c))]
    common, shared = Counter(frames).most_common(1)[0] if frames else ("", 0)
    study.aligned = [name for name in study.scans if _frame(taken[name]) == common] if shared > 1 else []
    return study


def _placed(label: Candidate, taken: Mapping[str, Candidate]) -> Candidate:
    """A label with the scan that it was drawn on: what its name tells, else the one on whose grid it lies."""
    if label.modality in taken:
        return label
    if label.modality is not None:
        return replace(label, reason=f"drawn on {label.modality} ({label.reason}), of which no scan is taken")
    on = [name for name in by_precedence(taken) if label.on_grid_of(taken[name])]
    if not on:
        why = "and it lies on the grid of none that is taken" if label.shape else ""
        return replace(label, reason=" ".join(filter(None, [label.reason, why])))
    return replace(label, modality=on[0], reason=f"it lies on the grid of {', '.join(on)}")


def _frame(candidate: Candidate) -> str | None:
    """What scans have in common that lie in one space: the frame of reference of DICOM, ``space-`` of BIDS."""
    return candidate.frame or (f"space-{candidate.space}" if candidate.space else None)


def _order(candidate: Candidate) -> tuple:
    """What sorts scans of one modality; DICOM and NIfTI, whose last parts are of other kinds, too."""
    return (*candidate.rank[:-1], str(candidate.rank[-1:]))


def _better(taken: tuple, other: tuple) -> str:
    """Why one scan was taken before another of its modality: the first thing in which they differ."""
    for name, mine, others in zip(_RANKS, taken, other, strict=False):
        if mine != others:
            return name.format(mine=mine, others=others)
    return "comes first by its name"


def _dicom(
    folder: Path, files: Iterable[Path], left: Mapping[Path, str]
) -> tuple[list[Candidate], dict[Path, str], list[str]]:
    """Candidates of the DICOM files, and of the other files what they are instead; doubts."""
    headers, others = read_files(files)
    subject_of, doubts = name_patients(folder, headers)
    beside = Counter(path.parent for path, _ in headers)
    found = []
    for (subject, session), members in grouped(headers, lambda item: subject_of[patient_key(folder, *item)]).items():
        drawn = [(path, header) for path, header in members if _is_label(header)]
        images = group((item for item in members if not _is_label(item[1])), {**left, **others})
        found += [_image_candidate(folder, series, (subject, session), beside) for series in images]
        for path, header in drawn:
            on, reason = drawn_on(header, images)
            modality, name = on.modality if on else None, path.relative_to(folder).as_posix()
            found.append(Candidate(subject, session, modality, reason, str(path), name, label=True))
    return found, others, doubts


def _is_label(header: Any) -> bool:
    return text(header, "Modality") in ("RTSTRUCT", "SEG")


def _image_candidate(folder: Path, series: Series, owner: tuple[str, str | None], beside: Counter[Path]) -> Candidate:
    header, files = series.headers[0], series.files
    parents = {path.parent for path in files}
    name = min(parents).relative_to(folder).as_posix()
    if series.volume:
        source: Source = [f"{path}#{series.volume}" for path in files]
    elif len(parents) == 1 and beside[min(parents)] == len(files):
        source = str(min(parents))
    else:
        source = [str(path) for path in files]
    if isinstance(source, list):
        more = f" and {len(source) - 1} more" if len(source) > 1 else ""
        name = f"{name}/{Path(source[0]).name}{more}"
    moment = text(header, "SeriesDate") + text(header, "SeriesTime")
    slices = len(series.slices)
    rank = (_far_from_usual(series), round(series.voxel, 3), -slices, tuple(255 - ord(letter) for letter in moment))
    reason = f"{series.reason}, {slices} slices" if series.modality else series.reason
    subject, session = owner
    day = _day(text(header, "StudyDate") or text(header, "SeriesDate"))
    shape, affine = series.shape, series.affine
    frame = series.frame_of_reference
    return Candidate(
        subject, session, series.modality, reason, source, name, rank, frame, day=day, shape=shape, affine=affine
    )


def _far_from_usual(series: Series) -> float:
    """Of diffusion-weighted volumes how far the b-value is from the usual one: b = 1000 is taken before b = 50."""
    found = b_value(series.headers[0]) if series.modality == "DWI" else None
    return 0.0 if found is None else abs(found - _USUAL_B)


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _read_table(path: Path, columns: Sequence[str] | None, needed: bool) -> SubjectTable | None:
    if path.is_file():
        return SubjectTable(path, columns)
    if needed:
        raise PolyscanError(f"{path} does not exist; give a CSV or TSV table with one row a subject.")
    return None


def _place(manifest: Manifest, study: Study, row: dict[str, str]) -> None:
    """Add a study with its clinical variables to its section."""
    row = dict(row)
    section = row.pop("split", "") or ("training" if study.label else "testing")
    if section not in SECTIONS:
        raise PolyscanError(f"{study.key} has split {section!r} in the table; expected {', '.join(SECTIONS)}.")
    fold = row.pop("fold", "")
    study.fold = int(fold) if fold.strip().isdigit() else None
    study.clinical = recorded(row)
    getattr(manifest, section).append(study)
