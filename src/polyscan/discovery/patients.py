"""Whose a DICOM file is: named by the folders that the user gave, never by what a header says of the patient."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from polyscan.dicom.attributes import number, text
from polyscan.dicom.words import told

if TYPE_CHECKING:
    from pydicom import Dataset

_PERSON = ("PatientBirthDate", "PatientSex")

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


@dataclass
class _Patient:
    """What lies under some folders with one PatientID."""

    identifier: str
    tops: set[str]
    studies: dict[str, str] = field(default_factory=dict)  # UID to date
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # study UID to DICOM modalities
    instances: set[str] = field(default_factory=set)
    persons: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # attribute to its values

    def same_person(self, other: _Patient) -> bool:
        """Whether two folders with one PatientID are one patient's.

        They are where they hold parts of one study, or complementary scans under names that say what lies in them and
        not whose it is, as ``CT`` and ``PET`` or ``anna_CT`` and ``anna_PET``. The same PatientID alone does not tell,
        since anonymised data often have one for all: folders of other names are those of two patients, as are those
        whose headers name two persons. Folders that hold the same images are copies, and stay apart.
        """
        if self.identifier != other.identifier or self.instances & other.instances:
            return False
        if self.contradicts(other):
            return False
        if (self.studies.keys() & other.studies.keys()) - {""}:
            return True
        names = {tuple(word.casefold() for word in _whose(top)) for top in self.tops | other.tops}
        return self.complements(other) and len(names) == 1

    def contradicts(self, other: _Patient) -> bool:
        """Whether headers name another birth date or sex."""
        both = [(self.persons[name], other.persons[name]) for name in _PERSON]
        return any(mine and others and mine != others for mine, others in both)

    def complements(self, other: _Patient) -> bool:
        """Whether two folders have no kind of scan in common."""
        mine, others = (set().union(*p.kinds.values()) for p in (self, other))
        return not mine & others

    def take(self, other: _Patient) -> None:
        """Become the two together."""
        self.tops |= other.tops
        self.instances |= other.instances
        for name, values in other.persons.items():
            self.persons[name] |= values
        for study, kinds in other.kinds.items():
            self.kinds[study] |= kinds
        for study, date in other.studies.items():
            self.studies[study] = min(date, self.studies.get(study, date))


def patient_key(folder: Path, path: Path, header: Dataset) -> Key:
    """What tells whose a file is, before it has a name."""
    parts = path.relative_to(folder).parts
    top = parts[0] if len(parts) > 1 else ""
    return text(header, "PatientID"), top, text(header, "StudyInstanceUID")


def name_patients(
    folder: Path, headers: Iterable[tuple[Path, Dataset]]
) -> tuple[dict[Key, tuple[str, str | None]], list[str]]:
    """Subject and session of every key, and what is doubtful about them: a sentence each.

    A subject is named by the folder right under ``folder`` in which its files lie, by ``folder`` itself where they lie
    in several, and numbered where a name would serve two. A patient's studies become sessions, in the order of their
    dates, where they have a modality in common; they are one study else.
    """
    units: dict[tuple[str, str], _Patient] = {}
    for path, header in headers:
        identifier, top, study = patient_key(folder, path, header)
        unit = units.setdefault((identifier, top), _Patient(identifier, {top}))
        unit.studies[study] = min(unit.studies.get(study, "9"), text(header, "StudyDate") or "9")
        if number(header, "Rows"):
            unit.kinds[study].add(text(header, "Modality"))
            unit.instances.add(text(header, "SOPInstanceUID"))
        for name in _PERSON:
            unit.persons[name] |= {text(header, name).strip().upper()} - {""}
    patients: list[_Patient] = []
    for _, unit in sorted(units.items()):
        known = next((patient for patient in patients if patient.same_person(unit)), None)
        if known is None:
            patients.append(unit)
        else:
            known.take(unit)
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
    return subject_of, _doubts(patients, subjects)


def _doubts(patients: list[_Patient], subjects: list[str]) -> list[str]:
    """What folders are two patients' by their names only, a sentence each."""
    found = []
    for i, a in enumerate(patients):
        for j, b in enumerate(patients[:i]):
            one_identifier = a.identifier == b.identifier and not _PLACEHOLDER.fullmatch(a.identifier.strip())
            if one_identifier and not a.instances & b.instances and a.complements(b) and not a.contradicts(b):
                found.append(
                    f"{subjects[j]} and {subjects[i]} are two patients by the names of their folders, though their "
                    "headers have one PatientID: put them into one folder if they are one."
                )
    return found


def _named(patient: _Patient, folder: Path) -> str:
    """What a patient is called before numbers: by its folder, what its folders' names have in common, ``folder``."""
    tops = sorted(patient.tops)
    if len(tops) == 1 and tops[0]:
        return bare(tops[0])
    return "-".join(_whose(tops[0])) or bare(folder.name)


def _whose(name: str) -> tuple[str, ...]:
    """The words of a folder's name that do not say which scan lies in it: ``anna_CT`` and ``PET-anna`` are anna's."""
    words = re.split(r"[\W_]+", bare(name))
    return tuple(word for word in words if word and not _OF_A_SERIES.fullmatch(word) and told(word).modality is None)


def bare(subject: str) -> str:
    """A subject's name without the prefix that BIDS gives it and the ending of an archive."""
    plain = subject.removeprefix("sub-")
    return plain[: -len(".zip")] if plain.lower().endswith(".zip") and len(plain) > len(".zip") else plain
