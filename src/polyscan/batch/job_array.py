"""Scripts that submit a batch to a cluster's scheduler as a job array, a shard a task."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from polyscan.batch.folder import JOB_ARRAY, LOGS, find_studies
from polyscan.batch.status import STUDIES
from polyscan.files.owned import write_script

SCHEDULERS = {
    "slurm": (
        "sbatch",
        ("#SBATCH --job-name=polyscan", "#SBATCH --array=1-{n}", "#SBATCH --cpus-per-task={jobs}", "#SBATCH --requeue"),
        "#SBATCH --output={logs}/%a.txt",
        "SLURM_ARRAY_TASK_ID",
    ),
    "sge": (
        "qsub",
        ("#$ -N polyscan", "#$ -t 1-{n}", "#$ -pe smp {jobs}", "#$ -S /bin/bash", "#$ -j y", "#$ -r y"),
        "#$ -o {logs}/$TASK_ID.txt",
        "SGE_TASK_ID",
    ),
    "lsf": (
        "bsub <",
        ('#BSUB -J "polyscan[1-{n}]"', "#BSUB -n {jobs}", '#BSUB -R "span[hosts=1]"', "#BSUB -r"),
        "#BSUB -o {logs}/%I.txt",
        "LSB_JOBINDEX",
    ),
}
"""Scheduler to how a script is submitted, the lines that ask for the tasks and their log, and what numbers a task."""


def job_array(scheduler: str, tasks: int, jobs: int, words: Sequence[str], logs: Path) -> list[str]:
    """The lines of a script for ``sbatch``, ``qsub`` or ``bsub`` whose tasks each do one shard of a batch.

    Args:
        scheduler: one of :data:`SCHEDULERS`.
        tasks: how many.
        jobs: studies at a time in each task, and cores that it asks for.
        words: of the command, ``batch`` first, without ``--shard`` and ``--jobs``; they mean what they do here.
        logs: folder of what the tasks say; the scheduler wants it to be there.
    """
    _, lines, log, number = SCHEDULERS[scheduler]
    command = shlex.join([sys.executable, "-m", "polyscan", *words, "--jobs", str(jobs)])
    return [
        "#!/bin/bash",
        *(line.format(n=tasks, jobs=jobs, logs=shlex.quote(str(logs))) for line in (*lines, log)),
        "# Add what your cluster wants, such as a partition, memory, time or a GPU. A task that is queued again, or",
        "# submitted again, goes on: what is done stays.",
        "export OMP_NUM_THREADS=1",
        f"cd {shlex.quote(str(Path.cwd()))} || exit",
        f'{command} --shard "${number}/{tasks}"',
        "status=$?",
        "# 3: some studies failed, which their records tell; the task did its work.",
        'if [ "$status" -eq 3 ]; then exit 0; fi',
        'exit "$status"',
    ]


def submit(source: Path, out: Path, scheduler: str, tasks: int, jobs: int, words: Sequence[str]) -> Path:
    """Find the studies once, and write the script whose tasks do them; see :func:`job_array`.

    Args:
        source: a folder of scans, or a manifest.
        out: the batch's folder.
        scheduler: one of :data:`SCHEDULERS`.
        tasks: how many shards.
        jobs: studies at a time in each.
        words: of the command that names this source, in whose place tasks read the studies that were found.

    Returns:
        The script.

    Raises:
        PolyscanError: the source or the folder cannot be used.
    """
    find_studies(source, out)
    logs = (out / LOGS).absolute()
    logs.mkdir(exist_ok=True)
    found = [str(out / STUDIES) if Path(word) == source else word for word in words]
    return write_script(out, JOB_ARRAY, job_array(scheduler, tasks, jobs, found, logs))
