"""One study of a batch: prepared, predicted and drawn, then its record written, last and whole."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout

from polyscan.batch.status import PARTS, lock, record_of
from polyscan.bundle.answering import PLAIN, Answering
from polyscan.bundle.config import bundle_folder, read_metadata
from polyscan.bundle.earlier import check_same_bundle, last_answer
from polyscan.bundle.predictor import StudyPredictor, answer_files
from polyscan.bundle.run import load_predictor
from polyscan.bundle.weights import inference_fingerprint
from polyscan.devices import is_usable
from polyscan.errors import sentence
from polyscan.files.atomic import clear_parts
from polyscan.files.digest import digest_of
from polyscan.files.owned import remove_owned, rewrite_owned
from polyscan.preprocess.kept import made_from
from polyscan.preprocess.prepare_study import prepare_study
from polyscan.report import write_study_page
from polyscan.study import PredictionRecord, Study
from polyscan.study.manifest import Failure, Manifest, read_record, write_manifest
from polyscan.study.sources import without_paths

_LEAST = 2**24  # bytes; a disk with less is full, whatever a library makes of that
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Outcome = Literal["done", "failed", "kept", "elsewhere", "full", "no device"]
"""Answered now; failed now; an earlier run's record is current; another run is at it; the disk is full, or the device
cannot be used, which are no faults of the study: it stays to be done."""


@dataclass(frozen=True)
class Batch:
    """What every study of a batch is done with, the same in every process.

    Attributes:
        out: the batch's folder.
        bundle: the bundle's folder.
        weights: a file of weights; the bundle's own if None.
        settings: fingerprint of the bundle's settings and weights.
        registered: whether the scans of each study are registered to each other already.
        retry_failed: whether what failed before is tried again though nothing changed.
        devices: what networks run on, such as ``("cuda:0", "cuda:1")``, shared out among the studies; the bundle's
            choice where empty.
        pages: whether a page of each study is drawn.
        answering: what is asked for beside the plain answers.
    """

    out: Path
    bundle: Path
    weights: Path | None = None
    settings: str = ""
    registered: bool = False
    retry_failed: bool = False
    devices: tuple[str, ...] = ()
    pages: bool = True
    answering: Answering = PLAIN


def run_study(study: Study, batch: Batch) -> Outcome:
    """Prepare and answer for one study, unless its record is current or another run is at it."""
    record = record_of(batch.out, study.key)
    try:
        with lock(batch.out, study.key).acquire(timeout=0):
            wanted = _made_from(study, batch)
            if _is_current(record, wanted, batch):
                return "kept"
            if not is_usable(_device(study, batch)):
                return "no device"
            _clear(study, batch)  # of a run that was killed
            try:
                with rewrite_owned(batch.out / "predictions", study.key) as written:
                    before = last_answer(record)
                    record.unlink(missing_ok=True)
                    answered = _predict(study, batch, before)
                    written += answer_files(answered)
                _remove_stale(before, answered.prediction)
                write_manifest(record, Manifest(testing=[answered], made_from=wanted, finished=_now()))
            except Exception as error:
                if _is_full(error, batch.out):
                    return "full"
                said = without_paths(sentence(error), study)
                write_failed(study, batch, said.replace(f"{batch.out}/", ""))
                return "failed"
            return "done"
    except Timeout:
        return "elsewhere"


def clear_begun(studies: Iterable[Study], batch: Batch) -> None:
    """Clear away what processes began of these studies that were ended in the middle, unless another run is at it."""
    parts = " ".join(part.name for folder in PARTS for part in (batch.out / folder).glob(".part-*"))
    for study in studies:
        if study.key in parts:
            with suppress(Timeout), lock(batch.out, study.key).acquire(timeout=0):
                _clear(study, batch)


def _clear(study: Study, batch: Batch) -> None:
    for folder in PARTS:
        clear_parts(batch.out / folder, study.key)


def _remove_stale(before: PredictionRecord | None, now: PredictionRecord | None) -> None:
    """Remove what an answer left that the one after it does not have, such as maps that are no longer asked for."""
    for file in set(before.all_files if before else []) - set(now.all_files if now else []):
        Path(file).unlink(missing_ok=True)
    for folder in _map_folders(before) - _map_folders(now):
        remove_owned(folder)


def _map_folders(said: PredictionRecord | None) -> set[Path]:
    return {Path(file).parent for file in said.maps} if said else set()


def _predict(study: Study, batch: Batch, before: PredictionRecord | None) -> Study:
    predictor = _predictor(batch, _device(study, batch))
    protocol = read_metadata(batch.bundle).get("protocol")
    start = time.perf_counter()
    prepared = study
    if protocol is not None:
        prepared = prepare_study(study, batch.out / "prepared", protocol, batch.registered)
    seconds = {"prepare": round(time.perf_counter() - start, 2)}
    answered = predictor.predict(prepared, before=before)
    if answered.preparation is not None:
        answered.preparation.seconds |= seconds
    if batch.pages:
        write_study_page(answered, batch.out / "pages" / f"{study.key}.html", cohort="../report.html")
    return answered


def _device(study: Study, batch: Batch) -> str:
    """The same for a study wherever it is done; the bundle's choice where empty."""
    if not batch.devices:
        return ""
    return batch.devices[int(hashlib.sha256(study.key.encode()).hexdigest(), 16) % len(batch.devices)]


@lru_cache(maxsize=4)
def _predictor(batch: Batch, device: str) -> StudyPredictor:
    """Loaded once in each process."""
    overrides = {"device": f"$torch.device({device!r})"} if device else {}
    out = batch.out / "predictions"
    return load_predictor(batch.bundle, out, weights=batch.weights, answering=batch.answering, overrides=overrides)


def plan_batch(bundle: str | Path, out: str | Path, weights: str | Path | None, **options: Any) -> Batch:
    """What every study is to be done with; what the bundle cannot do is refused before any study is read.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        out: the batch's folder.
        weights: a file of weights; the bundle's own if None.
        options: further attributes of the :class:`Batch`.

    Raises:
        PolyscanError: the weights do not fit the bundle, it cannot answer as it is asked to, or the folder holds what
            another bundle answered.
    """
    folder = bundle_folder(bundle)
    batch = Batch(Path(out).absolute(), folder, Path(weights).absolute() if weights is not None else None, **options)
    batch = replace(batch, settings=inference_fingerprint(folder, weights, batch.answering.overrides))
    check_same_bundle(batch.out, (batch.out / "records").glob("[!.]*.json"), folder.resolve().name)
    _predictor(batch, "cpu" if batch.devices else "")
    return batch


def _made_from(study: Study, batch: Batch) -> str:
    """Changes where anything does that a study's answer depends on; empty where a file is not there."""
    protocol = read_metadata(batch.bundle).get("protocol")
    scans = made_from(study, protocol, batch.registered)
    return scans and digest_of(scans, batch.settings)


def _is_current(record: Path, wanted: str, batch: Batch) -> bool:
    kept = read_record(record)
    if kept is None or not wanted or kept.made_from != wanted:
        return False
    predictions = [study.prediction for study in kept.testing]
    if not predictions:
        return not batch.retry_failed
    return all(found and all(Path(file).is_file() for file in (*found.all_files, *found.maps)) for found in predictions)


def write_failed(study: Study, batch: Batch, reason: str) -> None:
    """Note that there is no answer for a study, and why."""
    record = Manifest(failed=[Failure(study.key, reason)], made_from=_made_from(study, batch), finished=_now())
    write_manifest(record_of(batch.out, study.key), record)


def _is_full(error: BaseException | None, out: Path) -> bool:
    """Whether it failed for want of room on the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return shutil.disk_usage(out).free < _LEAST


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
