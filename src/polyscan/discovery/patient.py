"""What lies under folders with one PatientID, and whether two such are one person's."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from pydicom import Dataset

from polyscan.dicom.attributes import text
from polyscan.dicom.grouping import FILES_OF_A_SERIES
from polyscan.discovery.whose import counted_alike, is_time

Key = tuple[str, str, str]
"""PatientID, folder of the file under the one that is scanned (empty for that one itself), StudyInstanceUID."""
Folders = tuple[str, ...]
"""A folder under the one that is scanned, and those above it, the outermost first."""

# What anonymisers and consoles write where a PatientID would stand: it tells no two patients apart.
_PLACEHOLDER = re.compile(
    r"(?:anon\w*|pseudo\w*|de-?id\w*|removed|deleted|blank|none|null|n/?a|unknown|unk|no ?(?:id|name)|patient(?: ?id)?|"
    r"subject|test\w*|phantom|demo|x+|\*+|\?+|-+|\.+|0+|1|9{3,}|12345\w*)?",
    re.IGNORECASE,
)


def tells_nobody(identifier: str) -> bool:
    """Whether a PatientID is empty or what stands there where somebody's was taken out."""
    return _PLACEHOLDER.fullmatch(identifier.strip()) is not None


@dataclass(frozen=True)
class Part:
    """Files of one study under one folder.

    Attributes:
        key: whose they are.
        day: StudyDate, the earliest; 9 where none is told.
        frames: how many there are in all of its files.
        kinds: DICOM modalities of its images.
        births, sexes: PatientBirthDate and PatientSex in capital letters, where they are told.
    """

    key: Key
    day: str
    frames: int
    kinds: frozenset[str]
    births: frozenset[str]
    sexes: frozenset[str]


@dataclass
class Patient:
    """What lies under some folders with one PatientID.

    Attributes:
        tops: the folders, each with those that lie above it.
    """

    identifier: str
    tops: set[Folders]
    keys: set[Key] = field(default_factory=set)
    studies: dict[str, str] = field(default_factory=dict)  # UID to date
    frames: Counter[str] = field(default_factory=Counter)  # of a study's UID
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # study UID to DICOM modalities
    births: set[str] = field(default_factory=set)
    sexes: set[str] = field(default_factory=set)
    scans: set[tuple[str, str]] = field(default_factory=set)  # folder and DICOM modality
    names: set[tuple[str, ...]] = field(default_factory=set)  # words of the folders' names that say whose they are

    def add(self, part: Part) -> None:
        """Take files of a study under one of the folders."""
        self.keys.add(part.key)
        study = part.key[2]
        self.studies[study] = min(part.day, self.studies.get(study, "9"))
        self.frames[study] += part.frames
        if part.kinds:
            self.kinds[study] |= part.kinds
        self.scans |= {(part.key[1], kind) for kind in part.kinds}
        self.births |= part.births
        self.sexes |= part.sexes

    def same_person(self, other: Patient, share: ShareImages) -> bool:
        """Whether two folders with one PatientID are one patient's.

        They are where they hold parts of one study, or complementary scans under names that say what lies in them and
        not whose it is, as ``CT`` and ``PET`` or ``anna_CT`` and ``anna_PET``. The same PatientID alone does not tell,
        since anonymised data often have one for all, and nor does the same study of careless ones where both folders
        hold one kind of scan: folders of other names are those of two patients, as are those whose headers name two
        persons. Folders that hold the same images are copies, and stay apart.
        """
        if self.identifier != other.identifier or self.contradicts(other):
            return False
        one_study = self.shares_study(other) and not (self.named_apart(other) and not self.complements(other))
        one_name = len(self.names | other.names) == 1 and self.complements(other) and not self.is_only_numbered
        return (one_study or one_name) and not share(self, other)

    def shares_study(self, other: Patient) -> bool:
        """Whether both hold files of one study."""
        return bool((self.studies.keys() & other.studies.keys()) - {""})

    def named_apart(self, other: Patient) -> bool:
        """Whether the folders have names of two persons: words without numbers, or numbers where no ID tells."""
        mine, others = ({word for name in each.names for word in name} for each in (self, other))
        words = bool(mine and others) and mine.isdisjoint(others) and all(map(str.isalpha, mine | others))
        return words or (self.is_nobody and self.is_numbered_beside(other))

    def is_numbered_beside(self, other: Patient) -> bool:
        """Whether the folders' names differ in a number such as a study gives its patients.

        Behind letters, or where each folder holds several scans, as that of a series does not.
        """
        names = {top[-1] for top in self.tops | other.tops if top}
        if any(letter.isalpha() for name in self.names for word in name for letter in word):
            return len(names) > 1 and counted_alike(names)
        several = min(len(self.scans), len(other.scans)) > 1
        return several and len(names) > 1 and all(map(str.isdecimal, names)) and not any(map(is_time, names))

    @property
    def is_only_numbered(self) -> bool:
        """Whether nothing tells the patient but a number such as each of two lists begins with, as CT/1 and MR/1."""
        return self.is_nobody and any(top and re.fullmatch(r"[1-9]\d?", top[-1]) for top in self.tops)

    @property
    def is_nobody(self) -> bool:
        """Whether the PatientID tells no two patients apart."""
        return tells_nobody(self.identifier)

    def contradicts(self, other: Patient) -> bool:
        """Whether headers name another birth date or sex."""
        both = ((self.births, other.births), (self.sexes, other.sexes))
        return any(mine and others and mine != others for mine, others in both)

    def complements(self, other: Patient) -> bool:
        """Whether two folders have no kind of scan in common."""
        mine, others = (set().union(*p.kinds.values()) for p in (self, other))
        return not mine & others

    def take(self, other: Patient) -> None:
        """Become the two together."""
        self.tops |= other.tops
        self.keys |= other.keys
        self.names |= other.names
        self.scans |= other.scans
        self.births |= other.births
        self.sexes |= other.sexes
        self.frames += other.frames
        for study, kinds in other.kinds.items():
            self.kinds[study] |= kinds
        for study, date in other.studies.items():
            self.studies[study] = min(date, self.studies.get(study, date))

    @property
    def examinations(self) -> list[set[str]]:
        """UIDs of studies, the earliest first; those of one day and one slice each together.

        They were one before de-identification drew a UID for every file.
        """
        by_day: dict[str, set[str]] = defaultdict(set)
        for study, day in self.studies.items():
            by_day[day if self.frames[study] == 1 else study].add(study)
        parts = by_day.values()
        found = [part for some in parts for part in ([some] if len(some) >= FILES_OF_A_SERIES else [{s} for s in some])]
        return sorted(found, key=lambda part: min((self.studies[study], study) for study in part))

    @property
    def within(self) -> Folders:
        """The innermost folder that holds all of its files."""
        every = [folders_of(key) for key in self.keys]
        return tuple(names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*every, strict=False)))


ShareImages = Callable[[Patient, Patient], bool]
"""Whether folders of two with one PatientID hold an image in common."""


def patient_key(folder: Path, path: Path, header: Dataset) -> Key:
    """What tells whose a file is, before it has a name."""
    inside = "/".join(path.relative_to(folder).parts[:-1])
    return text(header, "PatientID"), inside, text(header, "StudyInstanceUID")


def folders_of(key: Key) -> Folders:
    """The folders in which a file lies."""
    return tuple(filter(None, key[1].split("/")))
