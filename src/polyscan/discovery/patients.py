"""Whose a DICOM file is: named by the folders that the user gave, never by what a header says of the patient."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from polyscan.dicom.attributes import text
from polyscan.dicom.words import told

if TYPE_CHECKING:
    from pydicom import Dataset

Key = tuple[str, str, str]
"""PatientID, folder right under the one that is scanned (empty for files in that one), StudyInstanceUID."""


# What anonymisers and consoles write where a PatientID would stand: it tells no two patients apart.
_PLACEHOLDER = re.compile(
    r"(?:anon\w*|pseudo\w*|de-?id\w*|removed|deleted|blank|none|null|n/?a|unknown|unk|no ?(?:id|name)|patient(?: ?id)?|"
    r"subject|test\w*|phantom|demo|x+|\*+|\?+|-+|\.+|0+|1|9{3,}|12345\w*)?",
    re.IGNORECASE,
)
# Words of a folder's name that say what lies in it and not whose it is.
_OF_A_SERIES = re.compile(
    r"(?:mr|mri|mrt|irm|pt|petct|pet|nac|ac|dicom|dcm|dicoms|images?|scans?|series|study|session|raw|data|export|anat|"
    r"ax|axial|tra|cor|coronal|sag|sagittal|[23]d|head|brain|body|wb|gd|ce|post|pre|rt|rtstruct|seg|struct|"
    r"(?:19|20)\d{6}|(?:se|ser|series|im|scan)\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Part:
    """Files of one study under one folder.

    Attributes:
        key: whose they are.
        day: StudyDate, the earliest; 9 where none is told.
        kinds: DICOM modalities of its images.
        births, sexes: PatientBirthDate and PatientSex in capital letters, where they are told.
    """

    key: Key
    day: str
    kinds: frozenset[str]
    births: frozenset[str]
    sexes: frozenset[str]


@dataclass
class Patient:
    """What lies under some folders with one PatientID."""

    identifier: str
    tops: set[str]
    studies: dict[str, str] = field(default_factory=dict)  # UID to date
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # study UID to DICOM modalities
    births: set[str] = field(default_factory=set)
    sexes: set[str] = field(default_factory=set)
    names: set[tuple[str, ...]] = field(default_factory=set)  # words of the folders' names that say whose they are

    def add(self, part: Part) -> None:
        """Take files of a study under one of the folders."""
        study = part.key[2]
        self.studies[study] = min(part.day, self.studies.get(study, "9"))
        if part.kinds:
            self.kinds[study] |= part.kinds
        self.births |= part.births
        self.sexes |= part.sexes

    def same_person(self, other: Patient, share: ShareImages) -> bool:
        """Whether two folders with one PatientID are one patient's.

        They are where they hold parts of one study, or complementary scans under names that say what lies in them and
        not whose it is, as ``CT`` and ``PET`` or ``anna_CT`` and ``anna_PET``. The same PatientID alone does not tell,
        since anonymised data often have one for all: folders of other names are those of two patients, as are those
        whose headers name two persons. Folders that hold the same images are copies, and stay apart.
        """
        if self.identifier != other.identifier or self.contradicts(other):
            return False
        one_study = bool((self.studies.keys() & other.studies.keys()) - {""})
        one_name = len(self.names | other.names) == 1 and self.complements(other)
        return (one_study or one_name) and not share(self, other)

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
        self.names |= other.names
        self.births |= other.births
        self.sexes |= other.sexes
        for study, kinds in other.kinds.items():
            self.kinds[study] |= kinds
        for study, date in other.studies.items():
            self.studies[study] = min(date, self.studies.get(study, date))


ShareImages = Callable[[Patient, Patient], bool]
"""Whether folders of two with one PatientID hold an image in common."""


def patient_key(folder: Path, path: Path, header: Dataset) -> Key:
    """What tells whose a file is, before it has a name."""
    parts = path.relative_to(folder).parts
    top = parts[0] if len(parts) > 1 else ""
    return text(header, "PatientID"), top, text(header, "StudyInstanceUID")


def name_patients(
    folder: Path, parts: Iterable[Part], share: ShareImages
) -> tuple[dict[Key, tuple[str, str | None]], list[str]]:
    """Subject and session of every key, and what is doubtful about them: a sentence each.

    A subject is named by the folder right under ``folder`` in which its files lie, by ``folder`` itself where they lie
    in several, and numbered where a name would serve two. A patient's studies become sessions, in the order of their
    dates, where they have a modality in common; they are one study else.
    """
    units: dict[tuple[str, str], Patient] = {}
    for part in parts:
        identifier, top, _ = part.key
        units.setdefault((identifier, top), Patient(identifier, {top}, names={_folded(top)})).add(part)
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
    bases = [_named(patient, folder) for patient in patients]
    shared, given = Counter(bases), Counter[str]()
    subject_of: dict[Key, tuple[str, str | None]] = {}
    subjects = []
    for patient, base in zip(patients, bases, strict=True):
        given[base] += 1
        subject = base if shared[base] == 1 else f"{base}-{given[base]}"
        subjects.append(subject)
        studies = sorted(patient.studies, key=lambda study: (patient.studies[study], study))
        several = any(patient.kinds[a] & patient.kinds[b] for i, a in enumerate(studies) for b in studies[:i])
        for top in patient.tops:
            for index, study in enumerate(studies):
                subject_of[(patient.identifier, top, study)] = (subject, str(index + 1) if several else None)
    return subject_of, _doubts(patients, subjects, share)


def _traits(patient: Patient) -> list[tuple]:
    """Of two folders of one person one is the same at least."""
    studies = [(patient.identifier, study) for study in patient.studies if study]
    return [*studies, *((patient.identifier, "named", name) for name in patient.names)]


def _doubts(patients: list[Patient], subjects: list[str], share: ShareImages) -> list[str]:
    """What folders are two patients' by their names only, a sentence each."""
    found = []
    alike: dict[str, list[int]] = defaultdict(list)
    for i, a in enumerate(patients):
        if _PLACEHOLDER.fullmatch(a.identifier.strip()):
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


def _named(patient: Patient, folder: Path) -> str:
    """What a patient is called before numbers: by its folder, what its folders' names have in common, ``folder``."""
    tops = sorted(patient.tops)
    if len(tops) == 1 and tops[0]:
        return bare(tops[0])
    return "-".join(words_of_whom(tops[0])) or bare(folder.name)


def words_of_whom(name: str) -> tuple[str, ...]:
    """The words of a folder's name that do not say which scan lies in it: ``anna_CT`` and ``PET-anna`` are anna's."""
    words = re.split(r"[\W_]+", bare(name))
    return tuple(word for word in words if word and not _OF_A_SERIES.fullmatch(word) and told(word).modality is None)


def _folded(top: str) -> tuple[str, ...]:
    return tuple(word.casefold() for word in words_of_whom(top))


def bare(subject: str) -> str:
    """A subject's name without the prefix that BIDS gives it and the ending of an archive."""
    plain = subject.removeprefix("sub-")
    return plain[: -len(".zip")] if plain.lower().endswith(".zip") and len(plain) > len(".zip") else plain
