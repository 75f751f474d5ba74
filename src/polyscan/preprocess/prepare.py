"""Prepare the studies of a manifest: each is written whole or not at all, and one that fails stops no other."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from polyscan import __version__
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import write_json
from polyscan.files.digest import digest_of
from polyscan.files.numbered import numbered
from polyscan.files.owned import replace_owned, rewrite_owned
from polyscan.formats.endings import is_volume, parts_of
from polyscan.formats.nifti import sidecar_of, write_nifti
from polyscan.modality import modality
from polyscan.parallel import Progress, run_each
from polyscan.preprocess.intensity_steps import mask_on
from polyscan.preprocess.profiles import load_profiles, out_of_distribution, profile
from polyscan.preprocess.protocol import load_protocol, protocol_text
from polyscan.preprocess.steps import Record, present
from polyscan.study import Label, Preparation, Scan, ScanKey, Study
from polyscan.study.manifest import Failure, Manifest, manifest_of, none_done, paths_of, read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of
from polyscan.study.record import plain
from polyscan.study.sources import SOURCES, reference_to, without_paths, write_sources

MANIFEST, RECORD = "manifest.json", "study.json"


def prepare(
    manifest: str | Path | Manifest | Sequence[Study],
    out: str | Path,
    *,
    protocol: str | Path = "default",
    like: str | Path | None = None,
    registered: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Load, register, normalise and resample every study, and write ``out/manifest.json``.

    A study that ``out`` holds already is taken as it is where its files, its entry in the manifest, the protocol and
    polyscan are those that it was made from; so a run that was cut short goes on where it ended.

    Args:
        manifest: what to prepare, or the path of the file; or studies, such as :func:`polyscan.find_studies` lists.
        out: folder that is new, empty, or was made by ``prepare``; each study becomes a folder in it, laid out as
            BIDS derivatives are. What it holds of an earlier run and not of this one is removed; what somebody put
            there stays, and what somebody changed too: see :mod:`polyscan.files.owned`.
        protocol: see :func:`polyscan.preprocess.protocol.load_protocol`.
        like: bundle, or folder of weights, whose training scans the studies are compared with: a scan whose
            intensities lie far from theirs is kept, and named in the study's ``problems``.
        registered: whether the scans of each study are registered to each other already, so that none is again.
        jobs: studies at a time, each in a process and one thread of its own; as many as there are cores if None.
        progress: told (done, total, study) after each.

    Returns:
        The prepared studies; those that failed are named in ``failed`` with the reason.

    Raises:
        PolyscanError: the protocol cannot be used, no study could be prepared, or ``out`` is, holds or lies in a folder
            of the scans, or holds what ``prepare`` did not write.
    """
    manifest = manifest_of(manifest)
    load_protocol(protocol)
    learnt = load_profiles(like) if like is not None else {}
    studies = manifest.studies
    owned = OutputFolder.claim(out, "prepare", sources_of(studies), manifest.scanned)
    owned.will_hold([MANIFEST, SOURCES, *(study.key for study in studies)])
    done: dict[str, Study] = {}
    failed = list(manifest.failed)
    work = partial(prepare_study, out=owned.path, protocol=protocol, registered=registered)
    with owned.alone(), rewrite_owned(owned.path, MANIFEST) as written:
        (owned.path / MANIFEST).unlink(missing_ok=True)  # never one that names results of two protocols
        write_sources(owned.path, manifest)
        written.append(SOURCES)
        for count, (study, result) in enumerate(run_each(work, studies, jobs), start=1):
            if isinstance(result, PolyscanError):
                failed.append(Failure(study.key, str(result)))
            else:
                assert result.preparation is not None
                problems = result.preparation.problems
                for modality_name, problem in out_of_distribution(result.preparation.profiles, learnt).items():
                    problems[modality_name] = "; ".join(filter(None, [problems.get(modality_name), problem]))
                done[study.key] = result
            if progress is not None:
                progress(count, len(studies), study.key)
        prepared = replace(
            manifest.map(lambda study: done.get(study.key)),
            roots={"prepared": str(owned.path)},
            failed=failed,
            left_out=[],
            renamed={},
        )
        if done:
            write_manifest(owned.path / MANIFEST, prepared)
            written.append(MANIFEST)
        owned.remove_others([MANIFEST, SOURCES, *done] if done else [])
    if not done:
        raise none_done("prepared", len(studies), failed)
    return prepared


def prepare_study(study: Study, out: Path, protocol: str | Path, registered: bool = False) -> Study:
    """Prepare one study and write its folder under ``out``, ``study.json`` in it; or read that where nothing changed.

    Raises:
        PolyscanError: no scan of it can be used, or it is prepared already.
    """
    if study.preparation is not None:
        raise PolyscanError(f"its scans are prepared already, by {study.protocol}; give what polyscan scan found.")
    final = out / study.key
    wanted = made_from(study, protocol, registered)
    if (final / RECORD).is_file():
        kept = read_manifest(final / RECORD)
        if wanted and kept.made_from == wanted:
            return kept.testing[0]
    start = time.perf_counter()
    steps, record = load_protocol(protocol), Record(study, registered=registered)
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


def made_from(study: Study, protocol: str | Path | None, registered: bool = False) -> str:
    """Changes where anything does that a prepared study is made from; empty where that cannot be told.

    Args:
        study: as :func:`polyscan.discovery.scan.scan` found it.
        protocol: its name or file; None where scans are read as they are.
        registered: see :func:`prepare`.
    """
    text = protocol_text(protocol) if protocol is not None else ""
    sources = paths_of(study)
    named = [word for word in re.split(r"[\s'\"]+", text) if word and Path(word).is_file()]
    try:
        files = fingerprint([*sources, *named, *_beside(sources)])
    except OSError:
        return ""
    return digest_of(__version__, text, registered, files, asdict(study))


def _beside(sources: Iterable[str]) -> list[str]:
    """The other parts of volumes; sidecars and tables of BIDS that tell what their values mean, there and above."""
    found: set[Path] = set()
    for source in sources:
        if is_volume(source):
            found |= set(parts_of(numbered(source)[0]))
            for folder in list(Path(source).absolute().parents)[:4]:
                found |= {
                    path for name in ("*pet.json", "*sessions.tsv", "participants.*") for path in folder.glob(name)
                }
    return sorted(map(str, found))


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
        _write_transform(folder / names[f"{name} transform"], transform)
    return names


def _write_transform(path: Path, transform: Any) -> None:
    import SimpleITK as sitk

    sitk.WriteTransform(transform, str(path))
