"""Prepare one study: read, register, resample and normalise it, and write it whole or not at all."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import SimpleITK as sitk

from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import write_json
from polyscan.files.owned import replace_owned
from polyscan.formats.endings import is_volume
from polyscan.formats.nifti import sidecar_of, write_nifti
from polyscan.modality import MODALITIES, modality
from polyscan.preprocess.intensity_steps import mask_on
from polyscan.preprocess.kept import RECORD, kept_study, made_from
from polyscan.preprocess.profiles import profile
from polyscan.preprocess.protocol import load_protocol
from polyscan.preprocess.steps import Record, present
from polyscan.study import Label, Preparation, Scan, ScanKey, Study
from polyscan.study.manifest import Manifest, read_manifest, write_manifest
from polyscan.study.record import plain
from polyscan.study.sources import reference_to, without_paths


def check_protocol(protocol: str | Path) -> None:
    """Refuse a protocol that cannot be used before any study is read.

    Raises:
        PolyscanError: it is one.
    """
    load_protocol(protocol)


def prepare_study(study: Study, out: Path, protocol: str | Path, registered: bool = False) -> Study:
    """One study as it is prepared under ``out``, or as it is prepared now where anything changed: :func:`make_study`.

    Raises:
        PolyscanError: see :func:`make_study`.
    """
    return kept_study(study, out, protocol, registered) or make_study(study, out, protocol, registered)


def make_study(study: Study, out: Path, protocol: str | Path, registered: bool = False) -> Study:
    """Prepare one study and write its folder under ``out``, ``study.json`` in it.

    Raises:
        PolyscanError: no scan of it can be used, or it is prepared already.
    """
    if study.preparation is not None:
        raise PolyscanError(f"its scans are prepared already, by {study.protocol}; give what polyscan scan found.")
    final, wanted = out / study.key, made_from(study, protocol, registered)
    start = time.perf_counter()
    steps, record = load_protocol(protocol), Record(study, registered, problems=_never_taken(study))
    try:
        data = steps({"record": record})
        if not present(data):
            reasons = (f"{name}: {why}" for name, why in record.problems.items())
            raise PolyscanError("no scan is left: " + "; ".join(reasons))
    except Exception as error:
        raise PolyscanError(without_paths(sentence(error), study)) from error
    record.seconds["total"] = round(time.perf_counter() - start, 3)
    with replace_owned(final, last=RECORD) as folder:
        path = {name: str(folder / file) for name, file in _write(data, record, folder).items()}
        for name in record.transforms:
            record.registrations[name].transform = path[f"{name} transform"]
        preparation = Preparation(
            steps.name,
            record.reference,
            foreground=path.get("foreground"),
            grids={name: record.grids[name] for name in present(data)},
            registrations=record.registrations,
            problems={name: without_paths(problem, study) for name, problem in record.problems.items()},
            repairs={name: without_paths(repair, study) for name, repair in record.repairs.items() if name in data},
            profiles={name: profile(data[name][0].numpy(), mask_on(data, data[name])) for name in present(data)}
            if "foreground" in data
            else {},
            seconds=record.seconds,
        )
        prepared = replace(
            study,
            subject=plain(study.subject),
            session=None if study.session is None else plain(study.session),
            scans={name: Scan(path[name], sidecar=sidecar_of(path[name])) for name in present(data)},
            label=Label(path.get("label"), tasks=study.label.tasks),
            preparation=preparation,
            brain_mask=None,
            decisions=[],
        )
        write_manifest(folder / RECORD, Manifest(testing=[prepared], made_from=wanted))
    return read_manifest(final / RECORD).testing[0]


def _never_taken(study: Study) -> dict[str, str]:
    """Modalities of which every scan was left out when the study was found, each with a reason."""
    known = {ScanKey.parse(name).modality for name in study.scans}
    left = {}
    for decision in study.decisions:
        if not decision.taken and decision.modality in MODALITIES and decision.modality not in known:
            file = PurePosixPath(decision.series).name
            reason = decision.reason.replace(file, decision.modality) if is_volume(file) else decision.reason
            left[decision.modality] = f"left out: {reason}"
    return left


def _write(data: dict[str, Any], record: Record, folder: Path) -> dict[str, str]:
    """Write everything that belongs to a study; returns what each thing's file is called."""
    stem = f"{record.study.key}_space-{ScanKey.parse(record.reference).label}"
    names = {}
    for name in present(data):
        names[name] = f"{stem}_desc-{ScanKey.parse(name).distinction}preproc_{modality(name).suffix}.nii.gz"
        write_nifti(folder / names[name], data[name])
        sidecar = {
            "Sources": [reference_to(record.study, name)],
            "Units": data[name].meta["unit"],
            "SpatialReference": f"the native grid of {record.reference}",
            "Steps": json.loads(without_paths(json.dumps(record.steps[name]), record.study)),
        }
        write_json(sidecar_of(folder / names[name]), sidecar)
    for name, suffix in (("foreground", "desc-foreground_mask"), ("label", "dseg")):
        if name in data:
            names[name] = f"{stem}_{suffix}.nii.gz"
            write_nifti(folder / names[name], data[name])
    for name, transform in record.transforms.items():  # named as fMRIPrep's: from the image to where it is brought
        names[f"{name} transform"] = (
            f"{record.study.key}_from-{ScanKey.parse(name).label}_to-{ScanKey.parse(record.reference).label}"
            "_mode-image_xfm.tfm"
        )
        sitk.WriteTransform(transform, str(folder / names[f"{name} transform"]))
    return names
