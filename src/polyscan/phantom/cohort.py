"""A cohort on disk: scans as a hospital would hand them over, and beside them what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write_folder, write_json
from polyscan.files.tables import write_rows
from polyscan.modality import by_precedence
from polyscan.parallel import run_each
from polyscan.phantom.radiology_report import radiology_report
from polyscan.phantom.subject import MAPS, MODALITIES, Subject, follow_up, make_subject
from polyscan.phantom.write import write_dicom, write_nifti_scan, write_nifti_values, write_pose
from polyscan.progress import Progress, silent
from polyscan.study.places import check_lasting

T = TypeVar("T")
_ALL = (*MODALITIES, *MAPS)
_DAY_0 = date(2020, 1, 1)
_REFERENCE = by_precedence(("T1", "T1c", "T2", "FLAIR"))


def make_cohort(
    out: str | Path,
    *,
    subjects: int = 40,
    seed: int = 0,
    format: str = "nifti",
    size: str = "small",
    modalities: Sequence[str] = MODALITIES,
    missing: float = 0.1,
    visits: int = 1,
    jobs: int | None = None,
    progress: Progress = silent,
) -> None:
    """Make heads with tumours and write their scans.

    The same seed makes the same cohort; a subject does not depend on how many there are or on which modalities are
    asked for. Seven in ten are for training, one for validation, two for testing. Test subjects have every scan.

    Layout: ``sub-001/anat/sub-001_T1w.nii.gz`` and so on as BIDS has it, or ``sub-001/T1/*.dcm``;
    ``participants.tsv`` with age, sex, biomarker and split; the truth under ``derivatives/truth``: ``labels.tsv`` with
    WHO grade, IDH and, of two visits, response; a folder for each subject with labels (1 necrotic and non-enhancing
    core, 2 oedema, 4 enhancing) and brain mask on the grid of T1c (or the first there of T1, T2, FLAIR), and for each
    other scan the transform from that one's points to its own.

    Args:
        out: folder to write; it must not hold anything yet.
        subjects: how many, from 1 to 999.
        seed: another one makes other heads.
        format: ``"nifti"`` or ``"dicom"``.
        size: ``"small"``, about 3 mm, or ``"full"``, about 1 mm.
        modalities: which scans to make; ``"ADC"`` and ``"CBF"`` are made where they are asked for.
        missing: probability that a scan of a training or validation subject is missing; one is always there.
        visits: 1, or 2: before and after treatment, as sessions 1 and 2.
        jobs: subjects at a time, each in a process of its own; as many as there are cores if None.
        progress: told (done, total, subject) after each.

    Raises:
        PolyscanError: an argument is out of range, or the folder is not empty.
    """
    if format not in ("nifti", "dicom") or size not in ("small", "full") or not 0 <= missing < 1:
        raise PolyscanError("format is nifti or dicom, size is small or full, and missing lies from 0 to below 1.")
    if not 1 <= subjects <= 999 or not set(modalities) <= set(_ALL) or visits not in (1, 2):
        raise PolyscanError(
            f"{subjects} subjects of {', '.join(modalities)}, {visits} visits; expected 1 to 999 of {', '.join(_ALL)}, "
            "1 or 2 visits."
        )
    with new_folder(out) as folder:
        plan = _Plan(folder, subjects, seed, format, size, tuple(modalities), missing, visits)
        rows = make_each(plan.make, subjects, jobs, progress)
        known, truth = zip(*rows, strict=True)
        write_rows(folder / "participants.tsv", known, "\t")
        write_rows(folder / "derivatives" / "truth" / "labels.tsv", truth, "\t")
        write_json(folder / "dataset_description.json", {"Name": "polyscan phantom", "BIDSVersion": "1.9.0"})


@contextmanager
def new_folder(out: str | Path) -> Iterator[Path]:
    """A folder to write a cohort to, whole or not at all.

    Raises:
        PolyscanError: it holds something already, or lies where another output is replaced.
    """
    out = Path(out)
    check_lasting(out)
    if out.exists() and any(out.iterdir()):
        raise PolyscanError(f"{out} is not empty; name a new folder for the cohort.")
    with atomic_write_folder(out) as folder:
        yield folder


def make_each(make: Callable[[int], T], subjects: int, jobs: int | None, progress: Progress) -> list[T]:
    """What ``make`` gives for each subject, 1 to ``subjects``, in their order."""
    made: dict[int, T] = {}
    for done, (number, result) in enumerate(run_each(make, range(1, subjects + 1), jobs), start=1):
        if isinstance(result, PolyscanError):
            raise result
        made[number] = result
        progress(done, subjects, f"sub-{number:03d}")
    return [made[number] for number in sorted(made)]


@dataclass(frozen=True)
class _Plan:
    """What is the same for every subject of a cohort."""

    folder: Path
    subjects: int
    seed: int
    format: str
    size: str
    modalities: tuple[str, ...]
    missing: float
    visits: int

    def make(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Make one subject and write it; returns its rows of participants.tsv and labels.tsv."""
        subject, split = make_subject(number, self.seed), split_of(number, self.subjects)
        acquired = _acquired(subject, self.modalities, 0.0 if split == "testing" else self.missing)
        name = {"participant_id": f"sub-{number:03d}"}
        known = {**name, "age": subject.age, "sex": subject.sex, "biomarker": subject.biomarker, "split": split}
        truth = {**name, "grade": subject.who_grade, "IDH": "mutated" if subject.mutated else "wildtype"}
        if self.visits == 1:
            _write(subject, acquired, self.folder, self.format, self.size, None)
        else:
            second_visit = follow_up(subject)
            for visit in (subject, second_visit):
                _write(visit, acquired, self.folder, self.format, self.size, visit.visit)
            days = [
                {"session_id": f"ses-{v.visit}", "acq_time": _DAY_0 + timedelta(v.day)} for v in (subject, second_visit)
            ]
            write_rows(self.folder / name["participant_id"] / f"{name['participant_id']}_sessions.tsv", days, "\t")
            truth["response"] = "yes" if second_visit.responds else "no"
        return known, truth


def split_of(number: int, subjects: int) -> str:
    """Seven in ten are for training, one for validation, two for testing."""
    place = (number - 0.5) / subjects
    return "training" if place < 0.7 else "validation" if place < 0.8 else "testing"


def _acquired(subject: Subject, modalities: Sequence[str], missing: float) -> list[str]:
    """Which scans were made; each has a draw of its own, so that asking for one more changes no other."""
    names = [m for m in _ALL if m in modalities]
    draws = np.random.default_rng([subject.seed, subject.number, 7]).random(len(_ALL))
    acquired = [m for m in names if draws[_ALL.index(m)] >= missing]
    brain = [m for m in names if m in _REFERENCE]
    if brain and not set(brain) & set(acquired):
        acquired.append(max(brain, key=lambda m: draws[_ALL.index(m)]))
    return acquired or names[:1]


def _write(subject: Subject, acquired: list[str], folder: Path, format: str, size: str, session: int | None) -> None:
    name = f"sub-{subject.number:03d}"
    place = folder / name
    if session is not None:
        place, name = place / f"ses-{session}", f"{name}_ses-{session}"
    for modality in acquired:
        scan = subject.scan(modality, size)
        if format == "nifti":
            write_nifti_scan(scan, place, name)
        else:
            write_dicom(scan, place / modality, subject)
    reference = next((m for m in _REFERENCE if m in acquired), acquired[0])
    truth = folder / "derivatives" / "truth" / place.relative_to(folder)
    truth.mkdir(parents=True)
    label, brain, grid = subject.truth(reference, size)
    write_nifti_values(truth / f"{name}_space-{reference}_dseg.nii.gz", label, grid.affine)
    write_nifti_values(truth / f"{name}_space-{reference}_desc-brain_mask.nii.gz", brain, grid.affine)
    for modality in acquired:
        if modality != reference:
            # It resamples the scan onto the reference: from a point there to the head, and from the head to the scan.
            pose = np.linalg.inv(subject.lying[modality]) @ subject.lying[reference]
            write_pose(truth / f"{name}_from-{modality}_to-{reference}_mode-image_xfm.tfm", pose)
    tumour = subject.tumour
    known = {
        "grade": subject.grade,
        "enhances": tumour.enhances,
        "oedema_radius_mm": round(float(tumour.oedema), 2),
        "report": radiology_report(subject),
    }
    write_json(truth / f"{name}_truth.json", known)
