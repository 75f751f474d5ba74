"""One study of a batch: prepared, predicted and drawn, then its record written, last and whole."""

from __future__ import annotations

import errno
import hashlib
import shutil
from functools import lru_cache
from pathlib import Path

from filelock import Timeout

from polyscan.batch.plan import Batch, Halt, Outcome, batch_made_from, clear, timestamp, write_failed
from polyscan.batch.status import lock, record_of
from polyscan.bundle.config import read_metadata
from polyscan.bundle.earlier import last_answer
from polyscan.bundle.predictor import StudyPredictor, answer_files
from polyscan.bundle.run import load_predictor
from polyscan.devices import check_usable
from polyscan.errors import chain_of, sentence
from polyscan.files.owned import remove_owned, rewrite_owned
from polyscan.preprocess.prepare_study import prepare_study
from polyscan.report import write_study_page
from polyscan.study import PredictionRecord, Study
from polyscan.study.manifest import Manifest, read_record, write_manifest
from polyscan.study.sources import without_paths

_LEAST = 2**24  # bytes; a disk with less is full, whatever a library makes of that
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def run_study(study: Study, batch: Batch) -> Outcome:
    """Prepare and answer for one study, unless its record is current or another run is at it."""
    record = record_of(batch.out, study.key)
    try:
        with lock(batch.out, study.key).acquire(timeout=0):
            wanted = batch_made_from(study, batch)
            if _is_current(record, wanted, batch):
                return "kept"
            try:
                predictor = predictor_of(batch, _device(study, batch))
            except Exception as error:
                return Halt(sentence(error))
            clear(study, batch)  # of a run that was killed
            try:
                with rewrite_owned(batch.out / "predictions", study.key) as written:
                    before = last_answer(read_record(record))
                    record.unlink(missing_ok=True)
                    answered = _predict(predictor, study, batch, before)
                    written += answer_files(answered)
                _remove_stale(before, answered.prediction)
                write_manifest(record, Manifest(testing=[answered], made_from=wanted, finished=timestamp()))
            except Exception as error:
                if _is_full(error, batch.out):
                    return Halt(f"The disk of {batch.out} is full; make room on it.")
                said = without_paths(sentence(error), study)
                write_failed(study, batch, said.replace(f"{batch.out}/", ""))
                return "failed"
            return "done"
    except Timeout:
        return "elsewhere"


def _remove_stale(before: PredictionRecord | None, now: PredictionRecord | None) -> None:
    """Remove what an answer left that the one after it does not have, such as maps that are no longer asked for."""
    for file in set(before.all_files if before else []) - set(now.all_files if now else []):
        Path(file).unlink(missing_ok=True)
    for folder in _map_folders(before) - _map_folders(now):
        remove_owned(folder)


def _map_folders(said: PredictionRecord | None) -> set[Path]:
    return {Path(file).parent for file in said.maps} if said else set()


def _predict(predictor: StudyPredictor, study: Study, batch: Batch, before: PredictionRecord | None) -> Study:
    protocol = read_metadata(batch.bundle).get("protocol")
    prepared = study
    if protocol is not None:
        prepared = prepare_study(study, batch.out / "prepared", protocol, batch.registered)
    answered = predictor.predict(prepared, before=before)
    if batch.pages:
        write_study_page(answered, batch.out / "pages" / f"{study.key}.html", cohort="../report.html")
    return answered


def _device(study: Study, batch: Batch) -> str:
    """The same for a study wherever it is done; the bundle's choice where empty."""
    if not batch.devices:
        return ""
    return batch.devices[int(hashlib.sha256(study.key.encode()).hexdigest(), 16) % len(batch.devices)]


def check_network(batch: Batch) -> None:
    """Load the network of a batch, on the CPU where it is to run on devices, which another machine may have.

    Raises:
        PolyscanError: see :func:`predictor_of`.
    """
    predictor_of(batch, "cpu" if batch.devices else "")


@lru_cache(maxsize=4)
def predictor_of(batch: Batch, device: str) -> StudyPredictor:
    """The network of a batch on a device, the bundle's choice where empty; loaded once in each process.

    Raises:
        PolyscanError: the device cannot be used, the weights do not fit the bundle, or it cannot answer as it is asked.
    """
    check_usable(device)
    overrides = {"device": f"$torch.device({device!r})"} if device else {}
    out = batch.out / "predictions"
    return load_predictor(batch.bundle, out, weights=batch.weights, options=batch.options, overrides=overrides)


def _is_current(record: Path, wanted: str, batch: Batch) -> bool:
    kept = read_record(record)
    if kept is None or not wanted or kept.made_from != wanted:
        return False
    predictions = [study.prediction for study in kept.testing]
    if not predictions:
        return not batch.retry_failed
    return all(found and all(Path(file).is_file() for file in (*found.all_files, *found.maps)) for found in predictions)


def _is_full(error: BaseException | None, out: Path) -> bool:
    """Whether it failed for want of room on the disk."""
    full = any(isinstance(behind, OSError) and behind.errno in _FULL for behind in chain_of(error))
    return full or shutil.disk_usage(out).free < _LEAST
