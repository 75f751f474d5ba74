"""Whose a DICOM file is: named by the folders that the user gave, never by what a header says of the patient."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from polyscan.discovery.patient import Folders, Key, Part, Patient, ShareImages, folders_of, tells_nobody
from polyscan.discovery.whose import (
    bare,
    counted_alike,
    is_counted,
    is_time,
    is_word,
    tells_whom,
    without_numbers,
    words_of_whom,
)
from polyscan.errors import and_more, first_of


def name_patients(
    folder: Path, parts: Iterable[Part], share: ShareImages
) -> tuple[dict[Key, tuple[str, str | None]], list[list[str]], list[str]]:
    """Subject and session of every key, subjects that only a PatientID tells apart, and a sentence for each doubt.

    A subject is named by the folder right under ``folder`` in which its files lie, by ``folder`` itself where they lie
    in several, by a folder further in where that is several patients', and numbered where a name would serve two. A
    patient's studies become sessions, in the order of their dates, where they have a modality in common; otherwise they
    are one study.
    """
    units: dict[tuple[str, Folders], Patient] = {}
    tops, doubts = _tops(parts := list(parts))
    for part in parts:
        identifier, top = part.key[0], tops[part.key]
        units.setdefault((identifier, top), Patient(identifier, {top}, names={_folded(" ".join(top))})).add(part)
    _take_labels(units)
    _take_parts(units)
    patients: list[Patient] = []
    alike: dict[tuple, list[int]] = defaultdict(list)  # so that not each is compared with all others
    for _, unit in sorted(units.items()):
        traits = _traits(unit)
        near = sorted({index for trait in traits for index in alike[trait]})
        known = next((index for index in near if patients[index].same_person(unit, share)), None)
        if known is None:
            known = len(patients)
            patients.append(unit)
        else:
            patients[known].take(unit)
        for trait in traits:
            alike[trait].append(known)
    bases = _named_further_in(patients, [_named(patient, folder) for patient in patients])
    shared, given = Counter(bases), Counter[str]()
    subject_of: dict[Key, tuple[str, str | None]] = {}
    subjects = []
    for patient, base in zip(patients, bases, strict=True):
        given[base] += 1
        subject = base if shared[base] == 1 else f"{base}-{given[base]}"
        subjects.append(subject)
        examinations = patient.examinations
        kinds = [set().union(*(patient.kinds[study] for study in each)) for each in examinations]
        several = any(mine & others for mine, others in combinations(kinds, 2))
        session_of = {study: str(k) for k, each in enumerate(examinations, start=1) for study in each}
        for key in patient.keys:
            subject_of[key] = (subject, session_of[key[2]] if several else None)
    by_folders: dict[frozenset[str], list[int]] = defaultdict(list)
    for index, patient in enumerate(patients):
        names = frozenset(name for key in patient.keys for name in folders_of(key) if tells_whom(name))
        by_folders[names].append(index)
    apart = [
        [subjects[index] for index in indices]
        for indices in by_folders.values()
        if len(indices) > 1 and not any(patients[i].contradicts(patients[j]) for i, j in combinations(indices, 2))
    ]
    return subject_of, apart, [*doubts, *_doubts(patients, subjects, share), *_of_nobody(patients, subject_of)]


def _take_labels(units: dict[tuple[str, Folders], Patient]) -> None:
    """Give what has no image, as an RTSTRUCT, to the one patient of its folder who has, whatever its PatientID.

    Which scan it was drawn on its references tell, or it is left out.
    """
    with_images: dict[Folders, list[Patient]] = defaultdict(list)
    for (_, top), unit in units.items():
        if any(unit.kinds.values()):
            with_images[top].append(unit)
    for (identifier, top), unit in [*units.items()]:
        if not any(unit.kinds.values()) and len(with_images[top]) == 1:
            with_images[top][0].take(unit)
            del units[identifier, top]


def _take_parts(units: dict[tuple[str, Folders], Patient]) -> None:
    """Make one patient of scans of one study in one folder that complement each other, whatever their PatientID.

    A study is one patient's; its CT and PET may have been registered under two numbers.
    """
    of_study: dict[tuple[Folders, str], list[tuple[str, Folders]]] = defaultdict(list)
    for (identifier, top), unit in units.items():
        for study in filter(None, unit.studies):
            of_study[top, study].append((identifier, top))
    for first, *others in of_study.values():
        for other in (key for key in others if {first, key} <= units.keys()):
            if units[first].complements(units[other]) and not units[first].contradicts(units[other]):
                units[first].take(units.pop(other))


def _tops(parts: Iterable[Part]) -> tuple[dict[Key, Folders], list[str]]:
    """The folder that names the patient of each key, and what is doubtful about it.

    That is the folder right under the scanned one. Where it holds folders whose names may be patients', with studies of
    their own each or several scans of one, and the headers' PatientID tells nothing or birth dates or sexes contradict
    each other, it is these.
    """
    tops: dict[Key, Folders] = {}
    doubts: list[str] = []
    together: dict[tuple[str, Folders], list[Part]] = defaultdict(list)
    for part in parts:
        together[part.key[0], folders_of(part.key)[:1]].append(part)
    for (identifier, top), inside in together.items():
        tops.update(dict.fromkeys((part.key for part in inside), top))
        if top:
            _look_inside(inside, top, not tells_nobody(identifier), tops, doubts)
    return tops, doubts


def _look_inside(
    parts: Iterable[Part], above: Folders, known: bool, tops: dict[Key, Folders], doubts: list[str]
) -> None:
    """Note of files under a folder whether they are several patients', by the names of the folders in it.

    Args:
        parts: the files.
        above: the folder, with those above it.
        known: whether their PatientID tells patients apart.
        tops: where it is noted.
        doubts: gets a sentence for each folder that is several patients' or may be.
    """
    children: dict[Folders, list[Part]] = defaultdict(list)
    for part in parts:
        below = folders_of(part.key)[len(above) :]
        first = next((k for k, name in enumerate(below) if tells_whom(name)), None)
        if first is not None:
            child = (*above, *below[: first + 1])
            children[child].append(part)
    if len(children) < 2:
        for top, inside in children.items():
            _look_inside(inside, top, known, tops, doubts)
        return
    studies = Counter(study for inside in children.values() for study in {part.key[2] for part in inside} - {""})
    contradict = any(_contradict(trait, children.values()) for trait in ("births", "sexes"))
    one_study = any(count > 1 for count in studies.values())
    series = any(
        len({(part.key[1], kind) for part in inside for kind in part.kinds}) < 2 for inside in children.values()
    )
    if (known and not contradict) or (one_study and series):
        return
    names = first_of([top[-1] for top in sorted(children)])
    where, why = "/".join(above), "whose headers have no PatientID that tells patients apart"
    last = {top[-1] for top in children}
    kinds = [frozenset().union(*(part.kinds for part in inside)) for inside in children.values()]
    shared = Counter(kind for each in kinds for kind in each)
    counted = all(any(shared[kind] > 1 for kind in each) for each in kinds)  # as CT/1, CT/2, MR/1, MR/2
    counted = counted and counted_alike(last) and not is_counted(above[-1])
    counted = counted or (one_study and all(map(str.isdecimal, last)) and not any(map(is_time, last)))
    if not contradict and not counted and not all(map(is_word, last)):
        doubts.append(
            f"{where} is taken as one patient's, with studies from {names}, {why}. If those are patients, give each a "
            "folder right under the scanned one."
        )
        return
    said = "whose headers name several birth dates or sexes" if contradict else why
    doubts.append(
        f"{where} holds several patients by the names in it: {names}, {said}. If they are one patient's, keep one."
    )
    for top, inside in children.items():
        tops.update(dict.fromkeys((part.key for part in inside), top))
        _look_inside(inside, top, known, tops, doubts)


def _contradict(trait: str, groups: Iterable[list[Part]]) -> bool:
    """Whether headers of two groups of files name another birth date or sex; where none is named there is none."""
    told = {frozenset().union(*(getattr(part, trait) for part in group)) for group in groups} - {frozenset()}
    return any(not a & b for a, b in combinations(told, 2))


def _traits(patient: Patient) -> list[tuple]:
    """Of two folders of one person one is the same at least."""
    studies = [(patient.identifier, study) for study in patient.studies if study]
    return [*studies, *((patient.identifier, "named", name) for name in patient.names)]


def _doubts(patients: list[Patient], subjects: list[str], share: ShareImages) -> list[str]:
    """What folders are two patients' by their names only, a sentence each."""
    of_study: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, a in enumerate(patients):
        for study in filter(None, a.studies):
            of_study[a.identifier, study].append(i)
    found = [
        f"{' and '.join(subjects[i] for i in several)} are several patients by the names of their folders, though "
        "their headers name one study: put them into one folder if they are one."
        for several in of_study.values()
        if len(several) > 1 and patients[several[0]].named_apart(patients[several[1]])
    ]
    found += [
        f"{first_of(sorted(top[-1] for top in a.tops))} are taken as one patient's, {subjects[i]}, since their headers "
        "name one study. If those are patients, scan each by itself."
        for i, a in enumerate(patients)
        if a.is_nobody and len(a.tops) > 1 and len({without_numbers("/".join(top)) for top in a.tops}) == 1
    ]
    of_number: dict[frozenset[tuple[str, ...]], list[str]] = defaultdict(list)
    for a in patients:
        if a.is_only_numbered:
            of_number[frozenset(a.names)].append("/".join(min(a.tops)))
    several = [tops for tops in of_number.values() if len(tops) > 1]
    if taken := [f"{' and '.join(sorted(tops))} are taken as two patients'" for tops in several]:
        found.append(
            f"{and_more(taken)}, since nothing but a number says that they are one's: put them into one folder if they "
            "are."
        )
    alike: dict[str, list[int]] = defaultdict(list)
    for i, a in enumerate(patients):
        if a.is_nobody:
            continue
        for j in alike[a.identifier]:
            b = patients[j]
            if a.complements(b) and not a.contradicts(b) and not share(a, b):
                found.append(
                    f"{subjects[j]} and {subjects[i]} are two patients by the names of their folders, though their "
                    "headers have one PatientID: put them into one folder if they are one."
                )
        alike[a.identifier].append(i)
    return found


def _of_nobody(patients: Sequence[Patient], subject_of: dict[Key, tuple[str, str | None]]) -> list[str]:
    """That studies which lie in the scanned folder itself are one study, though nothing names whose they are."""
    return [
        f"The {len(patient.studies)} studies that lie in the scanned folder itself are taken as one patient's and put "
        "together, though no PatientID says so. If those are patients, give each a folder."
        for patient in patients
        if () in patient.tops
        and patient.is_nobody
        and len(patient.studies) > 1
        and {subject_of[key][1] for key in patient.keys} == {None}
    ]


def _named(patient: Patient, folder: Path) -> str:
    """What a patient is called before numbers: by its folder, what its folders' names have in common, ``folder``."""
    tops = sorted(patient.tops)
    inner = {next((name for name in reversed(folders_of(key)) if tells_whom(name)), "") for key in patient.keys}
    if len(tops) > 1 and len(inner) == 1 and (name := inner.pop()):  # CT/anna and MR/anna
        return bare(name)
    if len(tops) == 1 and tops[0]:
        return bare(tops[0][-1])
    return "-".join(words_of_whom(" ".join(tops[0]))) or bare(folder.name)


def _named_further_in(patients: Sequence[Patient], bases: Sequence[str]) -> list[str]:
    """Names of patients, where several have one, by the first folder that holds one of them only.

    Where two such folders have one name, those above them are named too.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, base in enumerate(bases):
        alike[base].append(index)
    further: dict[int, Folders] = {}
    for indices in alike.values():
        within = {index: patients[index].within for index in indices}
        held = Counter(path[:end] for path in within.values() for end in range(1, len(path) + 1))
        for index, path in within.items() if len(indices) > 1 else ():
            own = (path[: k + 1] for k in range(len(path)) if held[path[: k + 1]] == 1 and tells_whom(path[k]))
            found = next(own, ())
            if found:
                further[index] = found
    counts = Counter(path[-1].casefold() for path in further.values())
    return [
        base
        if (first := further.get(index)) is None
        else bare(first[-1])
        if counts[first[-1].casefold()] == 1
        else "-".join(map(bare, first))
        for index, base in enumerate(bases)
    ]


def _folded(top: str) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words_of_whom(top))
