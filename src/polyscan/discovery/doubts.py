"""What is doubtful about a study that was put together, a sentence each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import PurePosixPath

from polyscan.discovery.bids import BY_FOLDER
from polyscan.discovery.chosen import ANY_MASK, BY_NAME
from polyscan.discovery.visits import without_visit
from polyscan.discovery.whose import bare, words_of_person
from polyscan.errors import and_more, first_of
from polyscan.formats.endings import ending_of, stem_of
from polyscan.study import Decision, Study

_VISIT = re.compile(r"(?P<patient>.*\d)[-_][A-Za-z]{0,5}\d{1,3}")  # BraTS-GLI-02005-100, OAS1_0061_MR2
_PRE_POST = re.compile(r"(?<![a-z])(?:pre|post)(?![a-z])", re.IGNORECASE)
_LONG = 60  # days
_TRACER = re.compile(r"_trc-([A-Za-z0-9]+)")


def doubts_of(study: Study, subject: str) -> list[str]:
    """What the folders and names of its scans say against a study.

    Args:
        study: with its decisions.
        subject: as its folders call it.
    """
    return [*_from_two_sets(study), *_from_two_names(study, subject), *_from_times(study), *_of_two_tracers(study)]


def of_notes(studies: Iterable[Study]) -> list[str]:
    """What is noted of scans that are taken, such as another PET of the study: a sentence for all that it is noted of.

    Args:
        studies: with their scans.
    """
    noted: dict[str, list[str]] = defaultdict(list)
    for study in studies:
        for name, scan in study.scans.items():
            for note in scan.notes:
                noted[note].append(f"{name} of {study.key}")
    return [f"{first_of(scans)}: {note}" for note, scans in noted.items()]


def of_several_labels(studies: Sequence[Study]) -> list[str]:
    """That studies have several labels, of which the first by its name was taken: a sentence for all of them.

    Args:
        studies: with their decisions.
    """
    several = []
    for study in studies:
        labels = [decision for decision in study.decisions if (decision.modality or "").startswith("label on")]
        if len(labels) > 1 and (taken := next((decision.series for decision in labels if decision.taken), "")):
            several.append(f"{study.key} has {len(labels)} labels, of which {taken} is taken")
    return _first_of(several, "name the one that is meant, as 'mask' of the label in the manifest.")


def of_any_mask(studies: Sequence[Study]) -> list[str]:
    """That labels are called a mask and nothing says of what, which may be the body: a sentence for all of them.

    Args:
        studies: with their decisions.
    """
    several = [
        f"{study.key} has the label {PurePosixPath(study.label.mask).name}, of which nothing says what it shows"
        for study in studies
        if study.label.mask and ANY_MASK.match(stem_of(PurePosixPath(study.label.mask).name))
    ]
    return _first_of(several, "if it is the body or the brain, take it out or call it brain_mask.")


def of_pre_and_post(studies: Sequence[Study]) -> list[str]:
    """That names of a study's scans have pre and post, which tell a contrast agent or two visits: a sentence for all.

    Scans that are called pre and post, and are not told apart by an agent as T1 and T1c are, may be of two visits.

    Args:
        studies: with their decisions.
    """
    several = []
    for study in studies:
        named: dict[str, set[str]] = defaultdict(set)
        for d in study.decisions:
            named[d.modality or ""].update(map(str.lower, _PRE_POST.findall(PurePosixPath(d.series).name)))
        if both := sorted(name for name in study.scans if len(named[name]) > 1):
            several.append(f"{study.key} has {', '.join(both)} called pre and post, of which pre is taken")
    return _first_of(several, "if post is a later visit and tells no contrast agent, call them ses-1 and ses-2.")


def of_sets_unused(studies: Sequence[Study]) -> list[str]:
    """That studies hold their scans twice, in two folders, of which the second's are not used: one sentence for all.

    Args:
        studies: with their decisions.
    """
    several = []
    for study in studies:
        held = _held_in(study)
        for one, other in combinations(sorted(held), 2):
            both = sorted({d.modality or "" for d in held[one]} & {d.modality or "" for d in held[other]})
            taken = [any(d.taken for d in held[place] if d.modality in both) for place in (one, other)]
            equal = all(d.taken or d.reason.endswith(BY_NAME) for d in (*held[one], *held[other]))
            if len(both) > 1 and one[0] != other[0] and equal and taken[0] != taken[1]:
                which = one[0] if taken[0] else other[0]
                several.append(f"{study.key} has {', '.join(both)} in {one[0]} and in {other[0]}; {which} is taken")
    return _first_of(several, "if those are two visits, call them ses-1 and ses-2.")


def of_parted(apart: Sequence[Sequence[str]], studies: Iterable[Study]) -> list[str]:
    """That patients of one folder may be one who has several PatientIDs: a sentence for each kind.

    Each lacks what another has, as CT and PET under two numbers; or they are fewer than there are folders, as visits of
    which each was made anonymous by itself, and unlike the patients of a hospital.

    Args:
        apart: subjects of one folder that only a PatientID tells apart.
        studies: of all subjects.
    """
    held: dict[str, set[str]] = defaultdict(set)
    for study in studies:
        held[study.subject] |= study.scans.keys()
    folders = len(held) - sum(len(subjects) - 1 for subjects in apart)
    several, visits = [], []
    for subjects in apart:
        sets = {frozenset(held[name]) for name in subjects if held[name]}
        if len(sets) > 1 and sum(map(len, sets)) == len(frozenset().union(*sets)):
            each = " and of others ".join(sorted(", ".join(sorted(names)) for names in sets))
            several.append(f"{first_of(subjects)} are patients by their PatientID, though one folder holds {each}")
        elif len(subjects) <= folders:
            visits.append(f"{first_of(subjects)} are patients by their PatientID, though one folder holds them")
    return [
        *_first_of(several, "if these are one patient's, put them under one subject in the manifest."),
        *_first_of(visits, "if they are one's, give them one subject in the manifest and sessions of their own."),
    ]


def of_visits(subjects: Iterable[str]) -> list[str]:
    """That subjects may be visits of one patient, as P1_20200101 and P1_20210101: then they may be in two folds.

    Their names differ in what tells a visit only, or go on behind a number with another one, of which there are fewer
    than of patients, as BraTS-GLI-02005-100 and -101 do.

    Args:
        subjects: as their folders call them.
    """
    visits_of: dict[str, list[str]] = defaultdict(list)
    numbers_of: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(subjects)):
        visits_of[without_visit(name)].append(name)
        if found := _VISIT.fullmatch(name):
            numbers_of[found["patient"]].append(name)
    numbers = {name.removeprefix(patient) for patient, names in numbers_of.items() for name in names}
    groups = [*visits_of.values(), *(numbers_of.values() if len(numbers) < len(numbers_of) else [])]
    several = [f"{first_of(names)} may be visits of one patient" for names in groups if len(names) > 1]
    return _first_of(several, "if they are, give them one subject in the manifest, and sessions of their own.")


def of_divided(studies: Iterable[Study]) -> list[str]:
    """That subjects of one number may be one patient, as 1000001_20252_2_0 with T1 and 1000001_20253_2_0 with FLAIR.

    Their names go on behind the number alike for other numbers too, and they have no modality in common.

    Args:
        studies: of all subjects.
    """
    held: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for study in studies:
        number, sign, rest = study.subject.partition("_")
        if sign and number.isdecimal():
            held[number][rest] |= study.scans.keys()
    divided = {
        number: rests
        for number, rests in held.items()
        if len(rests) > 1 and all(mine.isdisjoint(theirs) for mine, theirs in combinations(rests.values(), 2))
    }
    if len({*map(frozenset, divided.values())}) == len(divided):
        return []
    several = [first_of([f"{number}_{rest}" for rest in rests]) for number, rests in divided.items()]
    return [f"{and_more(several)} have no modality in common: if they are one patient's, put them into one folder."]


def of_days_apart(apart: Mapping[str, int]) -> list[str]:
    """That scans of studies were made at times so far apart that the patient may have changed: a sentence for all.

    Args:
        apart: days between the first and the last scan of studies, by key.
    """
    several = [f"{key} has scans that were made {days} days apart" for key, days in apart.items() if days > _LONG]
    return _first_of(several, "if those are two visits, put each into a folder of its own.")


def _first_of(said: Sequence[str], what: str) -> list[str]:
    """One sentence for many studies: what is said of the first, of how many more, and what to do."""
    return [f"{and_more(said)}: {what}"] if said else []


def _from_two_sets(study: Study) -> list[str]:
    """That a study holds two sets of scans with the same modalities each, as those of two visits are.

    In two folders, of which both were taken; or beside each other under names that differ in more than the modality.
    """
    every = _held_in(study)
    held = {place: {d.modality or "" for d in inside} for place, inside in every.items()}
    chosen = {place: {d.modality or "" for d in inside if d.taken} for place, inside in every.items()}
    for one, other in combinations(sorted(held), 2):
        both = held[one] & held[other]
        if len(both) < 2:
            continue
        which, call = ", ".join(sorted(both)), "If those are two visits, call them ses-1 and ses-2."
        if one[0] == other[0]:
            return [f"{study.key} has {which} twice in {one[0]}, as {one[1] or 'no name'} and as {other[1]}. {call}"]
        if chosen[one] & both and chosen[other] & both:
            return [f"{study.key} is put together from {one[0]} and {other[0]}, which hold {which} each. {call}"]
    return []


def _held_in(study: Study) -> dict[tuple[str, str], list[Decision]]:
    """The scans of a study that can be used, by their folder and what their names say but the modality."""
    held: dict[tuple[str, str], list[Decision]] = defaultdict(list)
    for decision in study.decisions:
        if decision.modality in study.scans:
            path = PurePosixPath(decision.series)
            called = " ".join(words_of_person(stem_of(path.name))) if ending_of(path.name) else ""
            held[path.parent.as_posix(), called].append(decision)
    return held


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
