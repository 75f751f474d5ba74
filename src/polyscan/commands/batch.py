"""Scan, prepare, predict and draw, for any number of studies.

Go the whole way for every study of a folder or a manifest. Each has one
record, written last, so that the same command goes on where one was cut short,
and several machines can share the work.

Example:
  polyscan batch petct_staging archive/ -o out/ --jobs 8
  polyscan batch petct_staging manifest.json -o out/ --shard $SLURM_ARRAY_TASK_ID/20
  polyscan batch petct_staging archive/ -o out/ --job-array slurm:20 --jobs 4
  polyscan batch petct_staging manifest.json -o out/ --dask tcp://10.0.0.1:8786
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from polyscan.commands.options import (
    FINISHED_STUDIES,
    add_bundle,
    add_inference_options,
    add_jobs,
    add_output,
    add_weights,
    at_least,
    inference_options,
    progress_bar,
    tell_failed,
    tell_left_out,
    words_without,
)
from polyscan.errors import PolyscanError


def add(command: argparse.ArgumentParser) -> None:
    add_bundle(command)
    command.add_argument("source", type=Path, help="a folder of scans, or a manifest that polyscan scan wrote")
    add_output(command)
    add_weights(command)
    command.add_argument(
        "--registered", action="store_true", help="the scans of each study are registered to each other already"
    )
    command.add_argument("--retry-failed", action="store_true", help="try again what failed though nothing changed")
    command.add_argument("--no-pages", action="store_true", help="draw no page of each study")
    command.add_argument(
        "--device", type=lambda text: text.split(","), default=[], help="such as cuda:0,cuda:1: studies are shared out"
    )
    command.add_argument("--shard", type=_shard, metavar="I/N", help="do the I-th of N equal parts of the studies")
    where = command.add_mutually_exclusive_group()
    add_jobs(where)
    where.add_argument("--dask", metavar="ADDRESS", help="of the scheduler of a Dask cluster that does them")
    command.add_argument(
        "--job-array",
        metavar="SCHEDULER:N",
        type=_job_array,
        help="do nothing but find the studies and write a script for slurm, sge or lsf whose N tasks do them",
    )
    command.add_argument(
        "--watch",
        metavar="SECONDS",
        type=at_least(0, float),
        help="go on with studies as they come, each once its files stayed as they are for so long, until interrupted",
    )
    add_inference_options(command)
    command.set_defaults(kept=FINISHED_STUDIES)


def _shard(text: str) -> tuple[int, int]:
    part, _, of = text.partition("/")
    if not (part.isdigit() and of.isdigit() and 1 <= int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part such as 2/20: the second of twenty")
    return int(part), int(of)


def _job_array(text: str) -> tuple[str, int]:
    from polyscan.batch.job_array import SCHEDULERS

    scheduler, _, tasks = text.partition(":")
    if scheduler not in SCHEDULERS or not tasks.isdigit() or int(tasks) < 1:
        known = ", ".join(SCHEDULERS)
        raise argparse.ArgumentTypeError(f"{text!r} is no job array such as slurm:20; schedulers are {known}")
    return scheduler, int(tasks)


def run(options: argparse.Namespace) -> int:
    from functools import partial

    from polyscan.batch import batch, watch
    from polyscan.batch.executors import dask, local
    from polyscan.batch.status import STUDIES
    from polyscan.study.manifest import read_manifest

    if options.job_array:
        return _write_job_array(options)
    with progress_bar("reading together") as progress:
        do = batch if options.watch is None else partial(watch, settle=options.watch)
        result = do(
            options.bundle,
            options.source,
            options.output,
            weights=options.weights,
            registered=options.registered,
            shard=options.shard,
            executor=dask(options.dask) if options.dask else partial(local, jobs=options.jobs),
            retry_failed=options.retry_failed,
            devices=options.device,
            pages=not options.no_pages,
            options=inference_options(options),
            progress=progress,
        )
    if result is None:
        return 0
    print(f"{len(result.studies)} studies answered; {options.output / 'cohort.csv'}")
    tell_left_out(read_manifest(options.output / STUDIES), options.output / STUDIES)
    return tell_failed(result)


def _write_job_array(options: argparse.Namespace) -> int:
    from polyscan.batch.job_array import SCHEDULERS, submit

    for name in ("shard", "dask", "watch"):
        if getattr(options, name) is not None:
            raise PolyscanError(f"--job-array writes a script whose tasks share the studies out; leave --{name} away.")
    scheduler, tasks = options.job_array
    words = words_without(options, "--job-array", "--jobs")
    script = submit(options.source, options.output, scheduler, tasks, options.jobs or 1, words)
    print(f"{SCHEDULERS[scheduler][0]} {shlex.quote(str(script))}")
    return 0
