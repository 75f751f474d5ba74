"""Scripts that submit a batch to a cluster's scheduler as a job array, a shard a task."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from polyscan.batch.folder import JOB_ARRAY, LOGS, find_studies
from polyscan.batch.status import STUDIES
from polyscan.files.owned import replace_owned

SCHEDULERS = {
    "slurm": (
        "sbatch",
        ("#SBATCH --job-name=polyscan", "#SBATCH --array=1-{n}", "#SBATCH --cpus-per-task={jobs}"),
        "#SBATCH --output={logs}/%a.txt",
        "SLURM_ARRAY_TASK_ID",
    ),
    "sge": (
        "qsub",
        ("#$ -N polyscan", "#$ -t 1-{n}", "#$ -pe smp {jobs}", "#$ -S /bin/bash", "#$ -j y"),
        "#$ -o {logs}/$TASK_ID.txt",
        "SGE_TASK_ID",
    ),
    "lsf": (
        "bsub <",
        ('#BSUB -J "polyscan[1-{n}]"', "#BSUB -n {jobs}", '#BSUB -R "span[hosts=1]"'),
        "#BSUB -o {logs}/%I.txt",
        "LSB_JOBINDEX",
    ),
}
"""Scheduler to how a script is submitted, the lines that ask for the tasks and their log, and what numbers a task."""


def job_array(scheduler: str, tasks: int, jobs: int, arguments: Sequence[str], logs: Path) -> str:
    """A script for ``sbatch``, ``qsub`` or ``bsub`` whose tasks each do one shard of a batch.

    Args:
        scheduler: one of :data:`SCHEDULERS`.
        tasks: how many.
        jobs: studies at a time in each task, and cores that it asks for.
        arguments: of ``polyscan batch``, without ``--shard`` and ``--jobs``.
        logs: folder of what the tasks say; the scheduler wants it to be there.
    """
    _, lines, log, number = SCHEDULERS[scheduler]
    asked = [line.format(n=tasks, jobs=jobs, logs=logs) for line in (*lines, log)]
    command = shlex.join([sys.executable, "-m", "polyscan", "batch", *arguments, "--jobs", str(jobs)])
    return "\n".join(
        [
            "#!/bin/bash",
            *asked,
            "# Add what your cluster wants, such as a partition, memory, time or a GPU. To go on where tasks were cut",
            "# short, submit it again: what is done stays.",
            "export OMP_NUM_THREADS=1",
            f'{command} --shard "${number}/{tasks}"',
            "status=$?",
            "# 3: some studies failed, which their records tell; the task did its work.",
            'if [ "$status" -eq 3 ]; then exit 0; fi',
            'exit "$status"',
            "",
        ]
    )


def submit(source: str | Path, out: str | Path, scheduler: str, tasks: int, jobs: int, arguments: list[str]) -> Path:
    """Find the studies once, and write the script whose tasks do them; see :func:`job_array`.

    Args:
        source: a folder of scans, or a manifest.
        out: the batch's folder.
        scheduler: one of :data:`SCHEDULERS`.
        tasks: how many shards.
        jobs: studies at a time in each.
        arguments: further ones of ``polyscan batch``; the first names the bundle.

    Returns:
        The script.

    Raises:
        PolyscanError: the source or the folder cannot be used.
    """
    out = Path(out).absolute()
    find_studies(Path(source), out)
    (out / LOGS).mkdir(exist_ok=True)
    named = [arguments[0], str(out / STUDIES), "-o", str(out), *arguments[1:]]
    with replace_owned(out, group=JOB_ARRAY) as folder:
        script = folder / JOB_ARRAY
        script.write_text(job_array(scheduler, tasks, jobs, named, out / LOGS))
        script.chmod(0o755)
    return out / JOB_ARRAY
