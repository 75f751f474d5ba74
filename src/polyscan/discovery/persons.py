"""Folders that hold several patients though no name says so, as ``HGG`` does of ``HGG/anna/T1.nii.gz``."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, takewhile

from polyscan.dicom.words import told
from polyscan.discovery.visits import without_visit
from polyscan.discovery.whose import (
    bare,
    counted_alike,
    is_counted,
    is_time,
    is_word,
    names_place,
    subject_in,
    tells_whom,
    words_of_person,
)
from polyscan.errors import first_of

_OF_DATA_SET = {"derivatives", "rawdata", "sourcedata"}  # folders in one
_LONG_NUMBER = re.compile(r"\d{3}")  # which no run of a scan has
_LONG_NAME = 4  # letters, which no data set begins with by chance
_OF_A_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d$")  # as a data set, ISLES2015
_OF_VISIT = re.compile(r"\d{1,2}")
Folders = tuple[str, ...]
_COMMON = 2  # modalities that two folders both hold, where they are two patients'; one may be a repeated series


@dataclass(frozen=True)
class Place:
    """Where a volume lies, under the folder that is scanned.

    Attributes:
        file: its number.
        folders: from the one right under the scanned folder on.
        stem: its name without ending.
        modality: that it is a scan of; None of masks and of what is not known.
    """

    file: int
    folders: tuple[str, ...]
    stem: str
    modality: str | None


def persons_among(places: Iterable[Place]) -> tuple[dict[int, str], list[str]]:
    """Volumes that are another's than the folder right under the scanned one says.

    A folder holds several patients where folders in it have names that do not say which scans lie in them, at which
    visit or how they were processed, and at least two modalities in common, so that no study is put together from scans
    of two patients. One modality in common may be a series that was repeated: it tells patients apart where the names
    are words, not numbers, and stand in no other folder, as those of a scanner or a reading would; where they lie in
    the folder of a site; or where all hold it, under numbers such as a study gives its patients, in a folder that is no
    such number itself. Files beside each other are told apart by what their names say in the same way, where one
    modality is all that they share by what comes before that in each name, or by a long number.

    What may be several patients' by its names and is not taken apart is said.

    Args:
        places: of all volumes whose names do not say whose they are, as ``sub-`` of BIDS does.

    Returns:
        File to the subject, named by the innermost such folder, with the outer ones where that name serves two; and a
        sentence for each folder that was taken apart, or that may hold several patients.
    """
    every = list(places)
    named = {place.file: _naming(place.folders) for place in every}
    found = _Found(named, Counter(name.casefold() for name in _inner_names(named.values())), _counted(named.values()))
    tops: dict[str, list[Place]] = defaultdict(list)
    for place in every:
        under_top = bool(named[place.file]) and named[place.file][:1] == place.folders[:1]
        if named[place.file] != place.folders[:1] or not under_top:  # else it is that folder's, whatever others are
            tops[place.folders[0] if under_top else ""].append(place)
    for top, inside in tops.items():
        found.take_apart(inside, (top,) if top else ())
    whose = found.whose
    beside: dict[Folders, list[Place]] = defaultdict(list)
    for place in every:
        places_of = tuple(filter(names_place, place.folders))  # 001_T1 of two hospitals is two patients'
        beside[whose.get(place.file) or named[place.file] or places_of].append(place)
    groups_of = {folders: _Beside(files) for folders, files in beside.items()}
    in_folders = Counter(name for files in groups_of.values() for name in files.groups)
    persons = {*whose.values()}
    for folders, files in groups_of.items():
        own = all(in_folders[name] == 1 for name in files.groups)
        of_person = folders in persons or folders in found.patients
        whose |= _by_files(files, folders, of_person, own, found.doubts)
    whose |= _by_names_of_others(every, named, whose)
    counts = Counter(path[-1].casefold() for path in set(whose.values()))
    subjects = {
        file: bare(path[-1]) if counts[path[-1].casefold()] == 1 else "-".join(map(bare, path))
        for file, path in whose.items()
    }
    outer = {path[:-1]: sorted({p[-1] for p in whose.values() if p[:-1] == path[:-1]}) for path in whose.values()}
    doubts = [
        f"{'/'.join(path) or 'The scanned folder'} holds several patients by the names in it: {first_of(names)}, which "
        "have modalities in common. If they are one's: of visits call them ses-1 and ses-2, of copies keep one."
        for path, names in sorted(outer.items())
    ]
    return subjects, doubts + found.doubts


def by_data_set(places: Iterable[Place]) -> tuple[dict[int, str], list[str]]:
    """Volumes of subjects of BIDS that have one name in two data sets, as ``ds1/sub-01`` and ``ds2/sub-01``.

    They are two patients' where both hold an original scan of one modality of one subject at least, and the names of
    the data sets do not say how scans were made or processed.

    Args:
        places: of all volumes whose names say whose they are; without a modality those that are no original scan.

    Returns:
        As :func:`persons_among`.
    """
    held: dict[str, dict[tuple[str, ...], list[Place]]] = defaultdict(lambda: defaultdict(list))
    for place in places:
        if subject := subject_in(place.stem):
            held[subject][_above(place.folders, subject)].append(place)
    whose: dict[int, str] = {}
    several = [roots for roots in held.values() if len(roots) > 1]
    sets = {root for roots in several if all(map(_is_data_set, roots)) and share(roots.values(), 1) for root in roots}
    names = [name for name, roots in held.items() if len(roots) > 1 and roots.keys() <= sets]
    for name in names:
        for root, inside in held[name].items():
            whose.update({place.file: "-".join((*map(bare, root), name)) for place in inside})
    return whose, [
        f"{first_of(sorted(map('/'.join, sets)))} hold subjects of one name ({len(names)}), taken as patients of each. "
        "If they are the same, put their folders together."
    ] * bool(names)


def _above(folders: Folders, subject: str) -> Folders:
    """The folders of a data set that holds a subject: those above the first one that is called after him."""
    own = ("sub-", subject) if len(subject) >= _LONG_NAME else ("sub-",)  # 01-pilot is not 01's
    return tuple(takewhile(lambda name: not name.startswith(own) and name not in _OF_DATA_SET, folders))


def _is_data_set(root: tuple[str, ...]) -> bool:
    """Whether the last of some folders has a name that does not say how scans were made or processed."""
    return bool(root) and (tells_whom(root[-1]) or names_place(root[-1]))


@dataclass
class _Found:
    """Whose volumes are.

    Attributes:
        named: file to those of its folders whose names may tell whose it is.
        counts: name of such a folder to how many folders hold one of that name.
        patients: folders that are patients' by the numbers of those beside them, so that 0 and 1 in them are visits.
        whose: file to the folders that name its patient.
        doubts: a sentence for each folder that may hold several patients.
    """

    named: dict[int, tuple[str, ...]]
    counts: Counter[str]
    patients: frozenset[Folders]
    whose: dict[int, tuple[str, ...]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def take_apart(self, places: Sequence[Place], above: tuple[str, ...]) -> None:
        """Note of the volumes under some folders whose they are, where the next folders are several patients'."""
        children: dict[str, list[Place]] = defaultdict(list)
        for place in places:
            below = self.named[place.file][len(above) :]
            if below:
                children[below[0]].append(place)
        if len(children) == 1:
            self.take_apart(places, (*above, *children))
        if len(children) < 2:
            return
        if above in self.patients and all(map(_OF_VISIT.fullmatch, children)) and share(children.values(), _COMMON):
            return
        own = all(self.counts[name.casefold()] == 1 for name in children)
        own_words = own and all(map(is_word, children))
        of_place = bool(above) and names_place(above[-1])
        kinds = [{place.modality for place in inside if place.modality} for inside in children.values()]
        counted = bool(set.intersection(*kinds)) and counted_alike(children) and not any(map(is_counted, above[-1:]))
        if not (counted or share(children.values(), 1 if own_words or of_place else _COMMON)):
            if own and all(kinds) and not any(map(is_time, children)):
                self.doubts.append(_taken_as_one(above, sorted(children)))
            return
        with_scans = {name: inside for name, inside in children.items() if any(place.modality for place in inside)}
        for name, inside in with_scans.items():  # others hold labels, as human_expert beside readers
            self.whose.update({place.file: (*above, name) for place in inside})
            self.take_apart(inside, (*above, name))


def _naming(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Those folders whose names may tell whose the scans in them are; a place does above a folder that tells it."""
    telling = [tells_whom(folder) for folder in folders]
    return tuple(
        folder for k, folder in enumerate(folders) if telling[k] or (names_place(folder) and any(telling[k + 1 :]))
    )


def _counted(paths: Iterable[Folders]) -> frozenset[Folders]:
    """Folders that lie beside others of which each has another number such as a study gives its patients."""
    beside: dict[Folders, set[str]] = defaultdict(set)
    for path in set(paths):
        for k, name in enumerate(path):
            beside[path[:k]].add(name)
    alike = {above: names for above, names in beside.items() if len(names) > 1 and counted_alike(names)}
    return frozenset(
        (*above, name)
        for above, names in alike.items()
        for name in names
        if is_counted(name) and not _OF_A_YEAR.search(name)
    )


def _inner_names(paths: Iterable[tuple[str, ...]]) -> list[str]:
    """The last name of each different path of folders."""
    every = {path[:end] for path in paths for end in range(1, len(path) + 1)}
    return [path[-1] for path in every]


def _taken_as_one(above: tuple[str, ...], names: list[str]) -> str:
    return (
        f"{'/'.join(above) or 'The scanned folder'} is taken as one patient's, with scans from {first_of(names)}, "
        "whose names do not tell. If those are patients, give each a folder right under the scanned one."
    )


class _Beside:
    """Files that lie beside each other, by what their names say of whose they are.

    Attributes:
        groups: the words of a name in small letters to the files that have them.
        spelt: the same as they are written.
        nameless: whether other files tell nothing.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self.groups: dict[tuple[str, ...], list[Place]] = defaultdict(list)
        self.spelt: dict[tuple[str, ...], tuple[str, ...]] = {}  # Anna_T1 and anna_FLAIR are one's
        for place in places:
            words = words_of_person(without_visit(place.stem))
            name = tuple(map(str.casefold, words))
            self.groups[name].append(place)
            self.spelt.setdefault(name, words)
        self.nameless = bool(self.groups.pop((), []))
        for name in sorted(self.groups):  # what goes on behind another name is that one's: anna_2_T1 beside anna_T1
            if shorter := next((name[:k] for k in range(1, len(name)) if name[:k] in self.groups), None):
                self.groups[shorter] += self.groups.pop(name)

    def own(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Of each name the words in which it differs from the others, one at least, as they are written."""
        before = _alike(self.groups)
        behind = min(_alike(name[::-1] for name in self.groups), min(map(len, self.groups)) - before - 1)
        return {name: words[before : len(words) - max(behind, 0)] for name, words in self.spelt.items()}


def _alike(names: Iterable[Sequence[str]]) -> int:
    """With how many equal words all names begin."""
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, zip(*names, strict=False)))


def _by_files(
    files: _Beside, folders: Folders, of_person: bool, only_here: bool, doubts: list[str]
) -> dict[int, Folders]:
    """Whose files are that lie beside each other, as ``anna_T1.nii.gz`` and ``bob_T1.nii.gz`` do.

    Args:
        files: by their names.
        folders: that they lie in.
        of_person: whether the folders have been taken as one patient's. They may be a group's all the same, as
            ``train`` beside ``test``: where names that do not begin with the folder's are words that no other folder
            has, or numbers such as a study gives its patients in a folder that is none.
        only_here: whether no other folder has one of the names.
        doubts: gets a sentence where names may be patients' and do not tell.
    """
    groups, above = files.groups, _folded(folders[-1]) if of_person else ()
    if len(groups) < 2 or (of_person and all(name[: len(above)] == above for name in groups)):
        return {}
    own = {name: words for name, words in files.own().items() if name in groups}
    called = ["-".join(words) for words in own.values()]
    kinds = [{place.modality for place in inside if place.modality} for inside in groups.values()]
    common, words = bool(set.intersection(*kinds)), all(map(is_word, called)) and (only_here or not of_person)
    first = all(_comes_first(own[name][0], place.stem) for name, inside in groups.items() for place in inside)
    counted = counted_alike(called) and (first or all(map(_LONG_NUMBER.search, called)))
    counted = counted and not (of_person and is_counted(folders[-1]))
    sets = share(groups.values(), _COMMON) and not files.nameless
    if (common and (counted or (words and first))) or (sets and not of_person):
        spelt = {name: "-".join(files.spelt[name]) for name in groups}
        return {place.file: (*folders, spelt[name]) for name, inside in groups.items() for place in inside}
    if all(kinds) and (sets or not of_person) and ((words or first) if common else (words and first)):
        doubts.append(_taken_as_one(folders, sorted(called)))
    return {}


def _by_names_of_others(
    places: Iterable[Place], named: dict[int, tuple[str, ...]], whose: dict[int, tuple[str, ...]]
) -> dict[int, tuple[str, ...]]:
    """Whose files are that lie in no patient's folder and are called after one, as ``labels/anna_seg.nii.gz``.

    Args:
        places: of all volumes.
        named: file to those of its folders whose names may tell whose it is.
        whose: file to the folders that name its patient.
    """
    places, found = list(places), dict[int, tuple[str, ...]]()
    with_scans = {named[place.file][:1] for place in places if place.modality and named[place.file]}
    known = {_folded(path[-1]): path for path in [*whose.values(), *with_scans]}
    for place in places:
        if place.file not in whose and named[place.file][:1] not in with_scans:
            words = _folded(place.stem)
            path = next((known[words[:k]] for k in range(len(words), 0, -1) if words[:k] in known), None)
            found |= {place.file: path} if path else {}
    return found


def _folded(name: str) -> tuple[str, ...]:
    return tuple(map(str.casefold, words_of_person(without_visit(name))))


def _comes_first(word: str, stem: str) -> bool:
    """Whether a word of a file's name stands before its modality, as a patient's does and a number of a series not."""
    before = takewhile(lambda each: told(each).modality is None, re.split(r"[\W_]+", stem))
    return word.casefold() in map(str.casefold, before)


def share(groups: Iterable[Iterable[Place]], common: int) -> bool:
    """Whether two groups of volumes have so many modalities in common."""
    kinds = ({place.modality for place in group if place.modality} for group in groups)
    together = Counter(some for each in kinds for some in combinations(sorted(each), common))
    return any(count > 1 for count in together.values())
