"""Scan, prepare, answer and draw, study by study. The truth is one record a study on disk, written last and whole.

Whoever finds a study without a record that is current, and unlocked, does it: a process of this machine, a task of a
job array, another machine that shares the folder, a worker of a Dask cluster. So a run that was cut short goes on, and
two runs never do one study twice.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from polyscan.batch.executors import Executor, local
from polyscan.batch.job_array import job_array
from polyscan.batch.table import write_table
from polyscan.bundle.predictor import StudyPredictor
from polyscan.bundle.run import bundle_folder, inference_fingerprint, load_predictor, read_metadata
from polyscan.discovery.scan import scan
from polyscan.errors import PolyscanError, sentence
from polyscan.files.atomic import atomic_write, clear_parts
from polyscan.parallel import Progress
from polyscan.preprocess.prepare import made_from, prepare_study
from polyscan.report import write_report
from polyscan.study import Study
from polyscan.study.manifest import Failure, Manifest, read_manifest, write_manifest
from polyscan.study.outputs import OutputFolder, fingerprint, sources_of
from polyscan.study.sources import SOURCES, write_sources

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOG = logging.getLogger(__name__)

STUDIES, MANIFEST = "studies.json", "manifest.json"
FOLDERS = ("prepared", "predictions", "pages", "records", "locks")
INDEX, JOB_ARRAY, LOGS = "index.sqlite", "job_array.sh", "logs"
TABLES = ("cohort.csv", "cohort.parquet")
_FILES = (STUDIES, SOURCES, MANIFEST, INDEX, JOB_ARRAY, LOGS, *TABLES)
_LEAST = 2**24  # bytes; a disk with less is full, whatever a library makes of that
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

Outcome = Literal["done", "failed", "kept", "elsewhere", "full"]
"""Answered now; failed now; an earlier run's record is current; another run is at it; the disk is full."""


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
    """

    out: Path
    bundle: Path
    weights: Path | None = None
    settings: str = ""
    registered: bool = False
    retry_failed: bool = False
    devices: tuple[str, ...] = ()
    pages: bool = True


@dataclass
class Status:
    """Where a batch stands.

    Attributes:
        done, failed, running, waiting: keys of studies; ``failed`` with the reasons.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)


def batch(
    bundle: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    registered: bool = False,
    shard: tuple[int, int] | None = None,
    executor: Executor = local,
    retry_failed: bool = False,
    devices: Sequence[str] = (),
    pages: bool = True,
    choose: Callable[[Study], bool] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Answer for every study of a folder or a manifest with a bundle.

    Args:
        bundle: the bundle's folder, or the name of one that comes with polyscan.
        source: a folder of scans, or a manifest that ``polyscan scan`` wrote.
        out: folder that is new, empty, or was made by ``batch``.
        weights: a file of weights; the bundle's own where not given.
        registered: whether the scans of each study are registered to each other already.
        shard: ``(i, n)``: do the i-th of n equal parts of the studies, counted from 1.
        executor: what calls :func:`run_study` for the studies; see :mod:`polyscan.batch.executors`.
        retry_failed: try again what failed before though nothing changed.
        devices: see :class:`Batch`.
        pages: whether to draw a page of each study.
        choose: tells which studies are to be looked at; all where not given.
        progress: told (done, total, study) after each study.

    Returns:
        What was written to ``out/manifest.json``: every study that has been answered by now, by this run or another;
        those that failed are named in ``failed`` with the reason.

    Raises:
        PolyscanError: the bundle, the source or the folder cannot be used, or no study could be answered.
    """
    folder = bundle_folder(bundle)
    plan = Batch(
        out=Path(out).absolute(),
        bundle=folder,
        weights=Path(weights).absolute() if weights is not None else None,
        settings=inference_fingerprint(folder, weights),
        registered=registered,
        retry_failed=retry_failed,
        devices=tuple(devices),
        pages=pages,
    )
    found = _find(Path(source), plan.out)
    write_manifest(plan.out / STUDIES, found)
    (plan.out / STUDIES).chmod(0o600)
    write_sources(plan.out, found)
    if shard is None:
        _remove_others(plan.out, {study.key for study in found.studies})
    part, of = shard or (1, 1)
    studies = sorted(found.studies, key=lambda study: study.key)[part - 1 :: of]
    studies = [study for study in studies if choose is None or choose(study)]
    for count, (study, outcome) in enumerate(executor(partial(run_study, batch=plan), studies), start=1):
        if outcome == "full":
            raise PolyscanError(f"The disk of {out} is full; make room and give the same command again.")
        if isinstance(outcome, PolyscanError):  # its process was killed
            write_failed(study, plan, str(outcome))
        if progress is not None:
            progress(count, len(studies), study.key)
    return _gather(found, plan)


def submit(source: str | Path, out: str | Path, scheduler: str, tasks: int, jobs: int, arguments: list[str]) -> Path:
    """Find the studies once, and write the script whose tasks do them; see :mod:`polyscan.batch.job_array`.

    Args:
        source: a folder of scans, or a manifest.
        out: the batch's folder.
        scheduler: one of :data:`polyscan.batch.job_array.SCHEDULERS`.
        tasks: how many shards.
        jobs: studies at a time in each.
        arguments: further ones of ``polyscan batch``; the first names the bundle.

    Returns:
        The script.

    Raises:
        PolyscanError: the source or the folder cannot be used.
    """
    out = Path(out).absolute()
    found = _find(Path(source), out)
    write_manifest(out / STUDIES, found)
    (out / STUDIES).chmod(0o600)
    (out / LOGS).mkdir(exist_ok=True)
    script = out / JOB_ARRAY
    named = [arguments[0], str(out / STUDIES), "-o", str(out), *arguments[1:]]
    with atomic_write(script) as temporary:
        temporary.write_text(job_array(scheduler, tasks, jobs, named, out / LOGS))
    script.chmod(0o755)
    return script


def watch(
    bundle: str | Path,
    source: str | Path,
    out: str | Path,
    *,
    settle: float,
    stop: threading.Event | None = None,
    pause: float = 10.0,
    weights: str | Path | None = None,
    **options: Any,
) -> None:
    """Do studies as they come to a folder, until told to stop: each once nothing of it changed for a while.

    Args:
        bundle: see :func:`batch`.
        source: the folder.
        out: see :func:`batch`.
        weights: see :func:`batch`.
        settle: seconds for which the files of a study must be as they are.
        stop: set to end; the process may as well be killed.
        pause: seconds between two looks at the folder.
        options: further ones of :func:`batch`.

    Raises:
        PolyscanError: the bundle or the folders cannot be used.
    """
    inference_fingerprint(bundle_folder(bundle), weights)
    if not Path(source).is_dir():
        raise PolyscanError(f"{source} is no folder; give the folder that studies come to.")
    OutputFolder.claim(out, "batch")
    stop = stop or threading.Event()
    looked_at: dict[str, str] = {}  # study to what it was then; while it stays so it is done

    def choose(study: Study) -> bool:
        state, last = _state(study)
        if not state or time.time() - last < settle or looked_at.get(study.key) == state:
            return False
        looked_at[study.key] = state
        return True

    while not stop.is_set():
        try:
            batch(bundle, source, out, weights=weights, choose=choose, **options)
        except PolyscanError as error:  # nothing came yet, all failed, or the disk is full: that may change
            _LOG.warning("%s", error)
            looked_at.clear()
        stop.wait(pause)


def _find(source: Path, out: Path) -> Manifest:
    """The studies of a source; the folder is claimed, and what was read of a tree is kept in it for the next time."""
    if not source.is_dir():
        found = read_manifest(source)
    elif _is_apart(out, source):
        new = not out.exists()
        OutputFolder.claim(out, "batch").will_hold([*FOLDERS, *_FILES])
        try:
            found = scan(source, index=out / INDEX)
        except PolyscanError:
            if new:
                shutil.rmtree(out)
            raise
    else:
        found = scan(source)
    OutputFolder.claim(out, "batch", sources_of(found.studies)).will_hold([*FOLDERS, *_FILES])
    return found


def _is_apart(out: Path, source: Path) -> bool:
    written, read = out.resolve(), source.resolve()
    return not (written == read or written in read.parents or read in written.parents)


def _state(study: Study) -> tuple[str, float]:
    """What changes where a file of a study does, and when the last did; nothing where one is gone."""
    try:
        sources = sources_of([study])
        files = [file for path in sources for file in (path.iterdir() if path.is_dir() else [path])]
        last = max(max(stat.st_mtime, stat.st_ctime) for stat in (file.stat() for file in files))
        return fingerprint(map(str, sources)), last
    except (OSError, ValueError):
        return "", 0.0


def run_study(study: Study, batch: Batch) -> Outcome:
    """Prepare and answer for one study, unless its record is current or another run is at it."""
    from filelock import Timeout

    record = batch.out / "records" / f"{study.key}.json"
    try:
        with _lock(batch.out, study.key).acquire(timeout=0):
            wanted = _made_from(study, batch)
            if _is_current(record, wanted, batch):
                return "kept"
            record.unlink(missing_ok=True)
            for folder in ("prepared", "predictions", "pages", "records"):
                clear_parts(batch.out / folder, study.key)  # of a run that was killed
            try:
                answered = _predict(study, batch)
                write_manifest(record, Manifest(testing=[answered], made_from=wanted, finished=_now()))
            except Exception as error:
                if _is_full(error, batch.out):
                    return "full"  # which is no fault of the study: it stays to be done
                write_failed(study, batch, sentence(error))
                return "failed"
            return "done"
    except Timeout:
        return "elsewhere"


def batch_status(out: str | Path) -> Status:
    """Where the batch in a folder stands, by its records and locks alone.

    Raises:
        PolyscanError: the folder holds no batch.
    """
    out = Path(out)
    status = Status()
    for study in read_manifest(out / STUDIES).studies:
        record = out / "records" / f"{study.key}.json"
        if not record.is_file():
            (status.running if _is_locked(out, study.key) else status.waiting).append(study.key)
        elif failed := read_manifest(record).failed:
            status.failed[study.key] = failed[0].reason
        else:
            status.done.append(study.key)
    return status


def _predict(study: Study, batch: Batch) -> Study:
    device = ""
    if batch.devices:  # the same device for a study wherever it is done
        device = batch.devices[int(hashlib.sha256(study.key.encode()).hexdigest(), 16) % len(batch.devices)]
    predictor = _predictor(batch.bundle, batch.weights, batch.out / "predictions", device)
    protocol = read_metadata(batch.bundle).get("protocol")
    start = time.perf_counter()
    prepared = study
    if protocol is not None:
        prepared = prepare_study(study, batch.out / "prepared", protocol, batch.registered)
    seconds = {"prepare": round(time.perf_counter() - start, 2)}
    answered = predictor.predict(prepared)
    if answered.preparation is not None:
        answered.preparation.seconds |= seconds
    if batch.pages:
        write_report(Manifest(testing=[answered]), batch.out / "pages" / f"{study.key}.html")
    return answered


@lru_cache(maxsize=4)
def _predictor(bundle: Path, weights: Path | None, out: Path, device: str) -> StudyPredictor:
    """Loaded once in each process."""
    overrides = {"device": f"$torch.device({device!r})"} if device else {}
    return load_predictor(bundle, out, weights=weights, overrides=overrides)


def _made_from(study: Study, batch: Batch) -> str:
    """Changes where anything does that a study's answer depends on; empty where a file is not there."""
    protocol = read_metadata(batch.bundle).get("protocol")
    scans = made_from(study, protocol, batch.registered)
    return scans and hashlib.sha256(f"{scans} {batch.settings}".encode()).hexdigest()[:16]


def _is_current(record: Path, wanted: str, batch: Batch) -> bool:
    if not wanted or not record.is_file():
        return False
    kept = read_manifest(record)
    if kept.made_from != wanted:
        return False
    predictions = [study.prediction for study in kept.testing]
    return all(found and Path(found.path).is_file() for found in predictions) if predictions else not batch.retry_failed


def write_failed(study: Study, batch: Batch, reason: str) -> None:
    """Note that there is no answer for a study, and why."""
    record = Manifest(failed=[Failure(study.key, reason)], made_from=_made_from(study, batch), finished=_now())
    write_manifest(batch.out / "records" / f"{study.key}.json", record)


def write_cohort(out: Path) -> None:
    """Write ``cohort.csv`` and ``cohort.parquet`` from the records alone, whoever wrote them."""
    answered, failed = list[Study](), list[Failure]()
    for file in sorted((out / "records").glob("*.json")):
        record = read_manifest(file)
        answered += record.studies
        failed += record.failed
    write_table(out, answered, failed)


def _is_full(error: BaseException | None, out: Path) -> bool:
    """Whether it failed since there was no room on the disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return shutil.disk_usage(out).free < _LEAST


def _lock(out: Path, study: str) -> BaseFileLock:
    """Held while a study is worked on; the system lets it go when its holder dies."""
    from filelock import FileLock

    (out / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(out / "locks" / f"{study}.lock")


def _is_locked(out: Path, study: str) -> bool:
    from filelock import Timeout

    try:
        with _lock(out, study).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _gather(found: Manifest, batch: Batch) -> Manifest:
    """Write the manifest and the tables from the records of the studies, whoever wrote them."""
    failed = list(found.failed)

    def recorded(study: Study) -> Study | None:
        path = batch.out / "records" / f"{study.key}.json"
        if not path.is_file():
            return None
        record = read_manifest(path)
        failed.extend(record.failed)
        return record.testing[0] if record.testing else None

    with _lock(batch.out, ".gather"):
        answered = replace(found.map(recorded), roots={**found.roots, "batch": str(batch.out)}, left_out=[], doubts=[])
        answered = replace(answered, renamed={}, bundle=batch.bundle.name, failed=failed)
        write_manifest(batch.out / MANIFEST, answered)
        write_table(batch.out, answered.studies, failed)
    if not answered.studies and failed:
        reasons = "; ".join(each.reason for each in failed[:3])
        raise PolyscanError(f"None of the {len(found.studies)} studies could be answered for: {reasons}")
    return answered


def _remove_others(out: Path, keys: set[str]) -> None:
    """Remove what is there of studies that the source no longer has."""
    for record in (out / "records").glob("*.json"):
        key = record.stem
        if key in keys or _is_locked(out, key):
            continue
        record.unlink()
        shutil.rmtree(out / "prepared" / key, ignore_errors=True)
        for file in [out / "pages" / f"{key}.html", *(out / "predictions").glob(f"{key}_*")]:
            file.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
