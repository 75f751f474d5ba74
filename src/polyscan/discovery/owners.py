"""Whose a DICOM file is: named by the folders that the user gave, never by what a header says of the patient."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from polyscan.dicom.attributes import number, text

if TYPE_CHECKING:
    from pydicom import Dataset

Key = tuple[str, str, str]
"""PatientID, folder right under the one that is scanned (empty for files in that one), StudyInstanceUID."""


@dataclass
class _Patient:
    """What lies under some folders with one PatientID."""

    identifier: str
    tops: set[str]
    studies: dict[str, str] = field(default_factory=dict)  # UID to date
    kinds: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # study UID to DICOM modalities
    instances: set[str] = field(default_factory=set)

    def same_person(self, other: _Patient) -> bool:
        """Whether two folders with one PatientID are one patient's: parts of one study, or complementary scans.

        The same PatientID alone does not tell, since anonymised data often have one for all. Folders that hold the
        same images are copies, and stay apart.
        """
        if self.identifier != other.identifier or self.instances & other.instances:
            return False
        mine, others = (set().union(*p.kinds.values()) for p in (self, other))
        return bool(self.studies.keys() & other.studies.keys()) or not mine & others

    def take(self, other: _Patient) -> None:
        """Become the two together."""
        self.tops |= other.tops
        self.instances |= other.instances
        for study, kinds in other.kinds.items():
            self.kinds[study] |= kinds
        for study, date in other.studies.items():
            self.studies[study] = min(date, self.studies.get(study, date))


def owner_key(folder: Path, path: Path, header: Dataset) -> Key:
    """What tells whose a file is, before it has a name."""
    parts = path.relative_to(folder).parts
    top = parts[0] if len(parts) > 1 else ""
    return text(header, "PatientID"), top, text(header, "StudyInstanceUID")


def name_patients(folder: Path, headers: Iterable[tuple[Path, Dataset]]) -> dict[Key, tuple[str, str | None]]:
    """Subject and session of every key.

    A subject is named by the folder right under ``folder`` in which its files lie, by ``folder`` itself where they lie
    in several, and numbered where a name would serve two. A patient's studies become sessions, in the order of their
    dates, where they have a modality in common; they are one study else.
    """
    units: dict[tuple[str, str], _Patient] = {}
    for path, header in headers:
        identifier, top, study = owner_key(folder, path, header)
        unit = units.setdefault((identifier, top), _Patient(identifier, {top}))
        unit.studies[study] = min(unit.studies.get(study, "9"), text(header, "StudyDate") or "9")
        if number(header, "Rows"):
            unit.kinds[study].add(text(header, "Modality"))
            unit.instances.add(text(header, "SOPInstanceUID"))
    patients: list[_Patient] = []
    for _, unit in sorted(units.items()):
        known = next((patient for patient in patients if patient.same_person(unit)), None)
        if known is None:
            patients.append(unit)
        else:
            known.take(unit)
    bases = [min(p.tops) if len(p.tops) == 1 and "" not in p.tops else folder.name for p in patients]
    shared, given = Counter(bases), Counter[str]()
    owners: dict[Key, tuple[str, str | None]] = {}
    for patient, base in zip(patients, bases, strict=True):
        given[base] += 1
        subject = bare(base) if shared[base] == 1 else f"{bare(base)}-{given[base]}"
        studies = sorted(patient.studies, key=lambda study: (patient.studies[study], study))
        several = any(patient.kinds[a] & patient.kinds[b] for i, a in enumerate(studies) for b in studies[:i])
        for top in patient.tops:
            for index, study in enumerate(studies):
                owners[(patient.identifier, top, study)] = (subject, str(index + 1) if several else None)
    return owners


def bare(subject: str) -> str:
    """A subject's name without the prefix that BIDS gives it and the ending of an archive."""
    plain = subject.removeprefix("sub-")
    return plain[: -len(".zip")] if plain.lower().endswith(".zip") and len(plain) > len(".zip") else plain
