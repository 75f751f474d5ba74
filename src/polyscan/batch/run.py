"""Scan, prepare, answer and draw, study by study. The truth is one record a study on disk, written last and whole.

Whoever finds a study without a record that is current, and unlocked, does it: a process of this machine, a task of a
job array, another machine that shares the folder, a worker of a Dask cluster. So a run that was cut short goes on, and
two runs never do one study twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from polyscan.batch.executors import Executor, local
from polyscan.batch.folder import GATHER, find_studies, remove_others, write_results
from polyscan.batch.plan import Batch, Halt, clear_begun, plan_batch, write_failed
from polyscan.batch.status import lock, read_records
from polyscan.bundle.inference_options import DEFAULTS, InferenceOptions
from polyscan.errors import PolyscanError
from polyscan.files.owned import rewrite_file
from polyscan.parallel import Named, run_first
from polyscan.progress import Progress, silent
from polyscan.study import Study
from polyscan.study.manifest import MANIFEST, Manifest, none_done, write_manifest
from polyscan.study.sources import write_sources

_ONE_STUDY = "polyscan.batch.one_study"  # which imports the network


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
    options: InferenceOptions = DEFAULTS,
    choose: Callable[[Study], bool] | None = None,
    progress: Progress = silent,
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
        options: what is asked for beside the plain answers.
        choose: tells which studies are to be looked at; all where not given.
        progress: told (done, total, study) after each study.

    Returns:
        What was written to ``out/manifest.json``: every study that has been answered by now, by this run or another;
        those that failed are named in ``failed`` with the reason.

    Raises:
        PolyscanError: the bundle, the source or the folder cannot be used, or no study could be answered.
    """
    plan = plan_batch(
        bundle,
        out,
        weights,
        registered=registered,
        retry_failed=retry_failed,
        devices=tuple(devices),
        pages=pages,
        options=options,
    )
    run_first(Named(_ONE_STUDY, "check_network"), plan, 2)  # before the scan, which may take an hour
    found = find_studies(Path(source), plan.out)
    write_sources(plan.out, found)
    if shard is None:
        remove_others(plan.out, {study.key for study in found.studies})
    part, of = shard or (1, 1)
    studies = sorted(found.studies, key=lambda study: study.key)[part - 1 :: of]
    studies = [study for study in studies if choose is None or choose(study)]
    run_study = partial(Named(_ONE_STUDY, "run_study"), batch=plan)
    try:
        for count, (study, outcome) in enumerate(executor(run_study, studies), start=1):
            if isinstance(outcome, Halt):
                raise PolyscanError(outcome.reason)
            if isinstance(outcome, PolyscanError):  # its process was killed
                write_failed(study, plan, str(outcome))
            progress(count, len(studies), study.key)
    finally:
        clear_begun(studies, plan)
    return _gather(found, plan)


def _gather(found: Manifest, batch: Batch) -> Manifest:
    """Write the manifest and the tables from the records of the studies, whoever wrote them."""
    with lock(batch.out, GATHER):
        records = read_records(batch.out)
        of_found = [records[study.key] for study in found.studies if study.key in records]
        failed = [*found.failed, *(failure for record in of_found for failure in record.failed)]
        done = {study.key: study for record in of_found for study in record.testing}
        kept, roots = found.map(lambda study: done.get(study.key)), {**found.roots, "batch": str(batch.out)}
        answered = replace(kept, roots=roots, left_out=[], doubts=[])
        answered = replace(answered, renamed={}, bundle=batch.bundle.name, failed=failed)
        with rewrite_file(batch.out / MANIFEST):
            write_manifest(batch.out / MANIFEST, answered)
        write_results(batch.out, answered)
    if not answered.studies and failed:
        raise none_done("answered for", len(found.studies), failed)
    return answered
