"""Find the studies in a folder: which series is which modality of which patient, and what is left out and why."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path, PurePosixPath

from polyscan.discovery.bids import BY_FOLDER
from polyscan.discovery.candidate import Candidate
from polyscan.discovery.index import Index
from polyscan.discovery.names import distinct
from polyscan.discovery.patients import Key, name_patients
from polyscan.discovery.sessions import join_sessions, read_dates
from polyscan.discovery.subject_table import PLACING, SubjectTable
from polyscan.discovery.whose import bare
from polyscan.errors import PolyscanError
from polyscan.files.walk import account, is_folder
from polyscan.formats.endings import is_volume, stem_of
from polyscan.modality import by_precedence, modality
from polyscan.progress import Progress, silent
from polyscan.study import Decision, Label, Scan, Study
from polyscan.study.manifest import SECTIONS, Manifest
from polyscan.study.roots import SCANS
from polyscan.study.table import recorded

_NUMBERED = re.compile(r"(?P<series>.*[-_])(?P<number>\d+)")
_TRACER = re.compile(r"_trc-([A-Za-z0-9]+)")
# What the parts of a rank say, where they differ, of the scan that is taken.
_RANKS = (
    "is nearer to an original scan, to the usual b-value or to SUV",
    "has finer voxels ({mine:g} and {others:g} mm3)",
    "has more slices",
    "is later, or comes first by its name",
)


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
    folder = index.folder
    subject_of, doubts = name_patients(folder, index.parts(), index.share_images)
    dicom: dict[tuple[str, str | None], list[Key]] = defaultdict(list)
    for examined, patient in subject_of.items():
        dicom[patient].append(examined)
    volumes, more_doubts = index.volume_owners()
    entries = [Decision(**entry) for entry in account(folder, index.left())]
    names = distinct(subject for subject, _ in (*dicom, *volumes))
    manifest, studies, dates = Manifest(roots={SCANS: str(folder)}), [], read_dates(folder) if join else {}
    manifest.doubts = [*doubts, *more_doubts]
    any_scan, reasons = False, {f"{entry.series}: {entry.reason}" for entry in entries}
    for owner in sorted({*dicom, *volumes}, key=lambda owner: (owner[0], owner[1] or "")):
        candidates = [*index.dicom(dicom.get(owner, []), owner), *index.volumes(volumes.get(owner, []), owner)]
        any_scan = any_scan or any(c.modality and not c.label for c in candidates)
        reasons = set() if any_scan else {*sorted({*reasons, *(c.reason for c in candidates)})[:3]}
        study = _study(names[owner[0]], owner[1], candidates)
        if study.scans:
            studies.append(study)
            manifest.doubts += _from_two_sets(study) + _from_two_names(study, owner[0]) + _from_times(study)
            manifest.doubts += _of_two_tracers(study)
            days = [c.day for c in candidates if c.day is not None]
            if days:
                dates.setdefault((study.subject, study.session), min(days))
        else:
            manifest.left_out += study.decisions
    if not any_scan:
        raise PolyscanError(
            f"No images found in {folder}: {index.count()} files, none of them a DICOM or NIfTI scan that can be used"
            + (f" ({'; '.join(sorted(reasons)[:3])})." if reasons else "; give the folder that holds the scans.")
        )
    manifest.left_out += entries
    subjects = {study.subject for study in studies}
    manifest.renamed = {old: new for old, new in names.items() if old != new and new in subjects}
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
    manifest.doubts += [*said, *more, *_of_both(clinical_of.values(), known_of.values())]
    return manifest


def _study(subject: str, session: str | None, candidates: list[Candidate]) -> Study:
    study = Study(subject, session)
    decisions = study.decisions
    candidates = _without_counted(_without_unnamed(candidates))
    taken: dict[str, Candidate] = {}
    for c in sorted((c for c in candidates if c.modality and not c.label), key=_order):
        assert c.modality is not None
        first = taken.setdefault(c.modality, c)
        reason = c.reason if first is c else f"{c.reason}; {first.name} {_better(first.rank, c.rank)}"
        decisions.append(Decision(c.name, c.modality, first is c, reason))
    study.scans = {name: Scan(taken[name].source, notes=taken[name].notes) for name in sorted(taken)}
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
        if c.modality is None:
            decisions.append(Decision(c.name, c.meant, False, c.reason))
        elif c.label and c.modality not in taken:
            decisions.append(Decision(c.name, f"label on {c.modality}", False, c.reason))
    frames = [frame for c in taken.values() if (frame := _frame(c))]
    common, shared = Counter(frames).most_common(1)[0] if frames else ("", 0)
    study.aligned = [name for name in study.scans if _frame(taken[name]) == common] if shared > 1 else []
    return study


def _without_unnamed(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without those that a folder alone tells the modality of and that lie beside others of its kind."""
    beside = Counter(str(PurePosixPath(c.name).parent) for c in candidates if c.by_folder and c.modality)
    return [
        replace(
            c,
            modality=None,
            reason=f"one of {count} volumes in a folder called after a modality, of which no name tells which is the "
            "scan: call it after the modality",
        )
        if c.by_folder and c.modality and (count := beside[str(PurePosixPath(c.name).parent)]) > 1
        else c
        for c in candidates
    ]


def _without_counted(candidates: list[Candidate]) -> list[Candidate]:
    """Candidates without the volumes of a diffusion series that names count from 0: the first is mostly b = 0."""
    counted: dict[str, list[int]] = defaultdict(list)
    stems = [stem_of(PurePosixPath(c.name).name) for c in candidates]
    names = [
        _NUMBERED.fullmatch(stem) if c.modality == "DWI" and not c.label else None
        for c, stem in zip(candidates, stems, strict=True)
    ]
    for name in filter(None, names):
        counted[name["series"]].append(int(name["number"]))
    return [
        replace(
            c,
            modality=None,
            reason=f"one of {len(numbers)} diffusion volumes, of which nothing tells the b-value: to use it name it in "
            "the manifest",
        )
        if name and 0 in (numbers := counted[name["series"]]) and len(numbers) > 1
        else c
        for c, name in zip(candidates, names, strict=True)
    ]


def _from_two_sets(study: Study) -> list[str]:
    """That the scans of a study lie in two folders which hold the same modalities each, as those of two visits do."""
    held: dict[str, set[str]] = defaultdict(set)
    chosen: dict[str, set[str]] = defaultdict(set)
    for decision in study.decisions:
        if decision.modality in study.scans:
            folder = PurePosixPath(decision.series).parent.as_posix()
            held[folder].add(decision.modality)
            chosen[folder] |= {decision.modality} if decision.taken else set()
    for one, other in combinations(sorted(held), 2):
        both = held[one] & held[other]
        if len(both) > 1 and chosen[one] & both and chosen[other] & both:
            return [
                f"{study.key} is put together from {one} and {other}, which hold {', '.join(sorted(both))} each. If "
                "those are two visits, call them ses-1 and ses-2."
            ]
    return []


def _from_two_names(study: Study, subject: str) -> list[str]:
    """That the scans of a study lie in two folders called alike, as ``01`` and ``sub-01``."""
    tops = sorted({decision.series.split("/")[0] for decision in study.decisions if decision.modality})
    alike = [top for top in tops if bare(top) == bare(subject)]
    if len(alike) < 2:
        return []
    return [f"{study.key} is put together from {' and '.join(alike)}. If those are two patients, rename one of them."]


def _from_times(study: Study) -> list[str]:
    """That folders called T1 and T2, of which alone the modalities are known, may be two points in time."""
    by_folder = {decision.modality for decision in study.decisions if decision.taken and BY_FOLDER in decision.reason}
    if by_folder != {"T1", "T2"} or by_folder != study.scans.keys():
        return []
    return [
        f"{study.key} has T1 and T2 by the names of folders alone. If those are two visits, call them ses-1, ses-2."
    ]


def _of_two_tracers(study: Study) -> list[str]:
    """That a study has PET of several tracers, by the names of BIDS, of which one is taken."""
    names = [_TRACER.search(d.series) for d in study.decisions if d.modality == "PET"]
    tracers = sorted({name[1] for name in names if name})
    if len(tracers) < 2:
        return []
    return [f"{study.key} has PET of {', '.join(tracers)}, of which one is taken: name the one that is meant."]


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
