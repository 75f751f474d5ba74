"""Turn a part of a public cohort into a prepared manifest, which ``polyscan train`` and ``polyscan infer`` take.

    python benchmarks/cohorts.py lgg_mri partA.npz clinical_A.csv genes_A.csv cohorts/lgg_A
    polyscan train BUNDLE cohorts/lgg_A/manifest.json -o run/
    python benchmarks/cohorts.py lgg_mri partB.npz cohorts/lgg_B --testing
    polyscan infer BUNDLE cohorts/lgg_B/manifest.json -o out/ --weights run/model.pt

Files may come in any order, those of several parts together; what is in none of them is absent. Studies stand in the
section ``training``, or with ``--testing`` in that one, each with a fold: a patient, or another group that must not be
divided, is in one fold, and folds are alike in what is to be learnt.

``--task`` says what is to be learnt: columns that are its outcome, or tell it, are no inputs, and are refused where
``--inputs`` names them; only labels of these tasks are written. Inputs that are somebody's judgement, such as the score
of a reader, are taken only where ``--inputs`` names them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from command import run
from parts.part import (
    Cohort,
    Patient,
    parts_of,
    write_picture,
    write_table,
    write_tables_fragment,
    write_volume,
)

from polyscan.commands.options import tell_problems
from polyscan.errors import PolyscanError, first_of
from polyscan.evaluation.folds import deal_folds
from polyscan.preprocess.prepare import prepare
from polyscan.study import Scan, Source, Study, scans_of
from polyscan.study.manifest import Manifest, write_manifest
from polyscan.study.outputs import OutputFolder

NAMES = sorted(
    path.stem for path in (Path(__file__).parent / "parts").glob("*.py") if path.stem not in ("part", "__init__")
)


def make(
    name: str,
    files: Sequence[Path],
    out: Path,
    tasks: Sequence[str] = (),
    inputs: Sequence[str] = (),
    protocol: str | None = None,
    folds: int | None = None,
    jobs: int | None = None,
    testing: bool = False,
    tables: bool = False,
) -> Manifest:
    """Read a part and write ``out/manifest.json``, and ``out/tables.json``, a fragment that reads its tables.

    Args:
        name: of the cohort, see ``NAMES``.
        files: of the part.
        out: a folder that is new, empty or was made so.
        tasks: what is to be learnt; what the cohort is made for where empty.
        inputs: columns that are inputs only where they are named.
        protocol: by which volumes are prepared; the cohort's own where not given.
        folds: how many; those that the cohort fixes, else five, where not given.
        jobs: studies that are prepared at a time.
        testing: whether all studies stand in the section testing.
        tables: whether scans and masks are left out.

    Raises:
        PolyscanError: the cohort, a file, a task, an input or the number of folds cannot be used.
    """
    if folds is not None and folds < 2:
        raise PolyscanError(f"{folds} folds are asked for; give 2 or more, or leave --folds out.")
    cohort = find(name)
    tasks = tasks or cohort.tasks
    cohort.check(tasks, inputs)
    parts = parts_of(files)
    for part in parts:
        part.check(cohort.forms)
    owned = OutputFolder.claim(out, f"cohort {name}")
    owned.remove_others(["prepared"])
    owned.will_hold(["manifest.json", "tables.json", "scans", "prepared"])
    patients = [cohort.keep(patient, tasks, inputs) for part in parts for patient in cohort.patients(part)]
    if tables:
        patients = [replace(patient, volumes={}, mask=None) for patient in patients]
    if not patients:
        raise PolyscanError(f"{', '.join(path.name for path in files)} hold no study.")
    keys = Counter(patient.study.key for patient in patients)
    if twice := [key for key, count in keys.items() if count > 1]:
        raise PolyscanError(f"{first_of(twice)} would be more than one study; give each patient, and each file, once.")
    numbers = deal_folds([p.group or p.study.subject for p in patients], [p.stratum for p in patients], folds or 5)
    scans, others = Manifest(), {}
    for patient, fold in zip(patients, numbers, strict=True):
        study = replace(patient.study, fold=fold if folds or patient.study.fold is None else patient.study.fold)
        others[study.key] = write(patient, study, cohort, owned.path / "scans")
        getattr(scans, "testing" if testing else patient.section).append(study)
    if cohort.protocol is not None and not tables:
        protocol = protocol or cohort.protocol
        scans = prepare(scans, owned.path / "prepared", protocol=protocol, registered=True, jobs=jobs)
    notes = {"cohort": name, "tasks": list(tasks), "inputs": list(inputs), "spacing_is_nominal": cohort.nominal}
    complete = scans.map(lambda s: replace(s, scans={**s.scans, **scans_of(others[s.key])}))
    manifest = replace(complete, roots={"cohort": str(owned.path)}, notes=notes)
    write_manifest(owned.path / "manifest.json", manifest)
    write_tables_fragment(owned.path / "tables.json", manifest.studies)
    return manifest


def find(name: str) -> Cohort:
    """A cohort by its name.

    Raises:
        PolyscanError: there is none of this name.
    """
    if name not in NAMES:
        raise PolyscanError(f"{name!r} is no cohort that is known; use one of {', '.join(NAMES)}.")
    cohort: Cohort = import_module(f"parts.{name}").COHORT
    return cohort


def write(patient: Patient, study: Study, cohort: Cohort, folder: Path) -> dict[str, Source]:
    """Write what there is of a patient, and name volumes and mask in the study; returns what needs no preparing."""
    path = str(folder / study.key / study.key)
    for name, values in patient.volumes.items():
        written = write_volume(f"{path}_{name}.nii.gz", values, cohort.spacing)
        study.scans[name] = Scan(written, given=dict(cohort.given.get(name, {})))
    if patient.mask is not None and patient.volumes:
        study.label.mask = write_volume(f"{path}_dseg.nii.gz", patient.mask.astype(np.uint8), cohort.spacing)
        study.label.drawn_on = next(iter(patient.volumes))
    others: dict[str, Source] = {m: write_picture(f"{path}_{m}.png", values) for m, values in patient.pictures.items()}
    return {**others, **{t: write_table(f"{path}_{t}.json", columns) for t, columns in patient.tables.items()}}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"the cohort: {', '.join(NAMES)}")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="the files of the part")
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("--task", nargs="+", default=[], help="what is to be learnt")
    parser.add_argument("--inputs", nargs="+", default=[], metavar="COLUMN", help="columns that must be named")
    parser.add_argument("--protocol", help="by which volumes are prepared; the cohort's own where not given")
    parser.add_argument("--folds", type=int, help="of cross-validation (5, or those that the cohort fixes)")
    parser.add_argument("--jobs", type=int, help="studies that are prepared at a time; as many as there are cores")
    parser.add_argument(
        "--testing", action="store_true", help="a part to answer for: all its studies stand in the section testing"
    )
    parser.add_argument("--tables", action="store_true", help="leave scans and masks out")
    options = parser.parse_args()
    manifest = make(
        options.name,
        options.files,
        options.out,
        tasks=options.task,
        inputs=options.inputs,
        protocol=options.protocol,
        folds=options.folds,
        jobs=options.jobs,
        testing=options.testing,
        tables=options.tables,
    )
    tell_problems(manifest)
    known = ("mask", *sorted({name for study in manifest.studies for name in study.label.tasks}))
    counts = {name: sum(study.label.holds(name) for study in manifest.studies) for name in known}
    told = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
    print(f"{len(manifest.studies)} studies in {options.out / 'manifest.json'}; labels: {told or 'none'}")


if __name__ == "__main__":
    run(main)
