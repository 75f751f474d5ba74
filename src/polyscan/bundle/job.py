"""A script that submits one training to SLURM, on several machines at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from polyscan.bundle.run_folder import JOB, LOGS
from polyscan.files.owned import write_script
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import OutputFolder, sources_of

CORES = 4
"""That are asked for a process: one computes or feeds a GPU, others load."""


def write_slurm_job(
    manifest: Path, output: Path, nodes: int, processes: int, words: Sequence[str], *, folds: bool = False
) -> Path:
    """Write ``job.sh`` into the folder of a training that is to be: a script for ``sbatch`` that trains by torchrun.

    Args:
        manifest: that is trained on.
        output: the folder of the run, or of its folds.
        nodes: how many machines.
        processes: on each; each has a GPU of its own.
        words: of ``polyscan train``.
        folds: whether a network a fold is trained.

    Raises:
        PolyscanError: the folder or the manifest cannot be used.
    """
    found = read_manifest(manifest)
    owned = OutputFolder.claim(output, "train --folds" if folds else "train", sources_of(found.studies), found.scanned)
    owned.will_hold([JOB, LOGS])
    (owned.path / LOGS).mkdir(exist_ok=True)  # SLURM wants it to be there
    torchrun = shlex.join([sys.executable, "-m", "torch.distributed.run"])
    return write_script(
        owned.path,
        JOB,
        [
            "#!/bin/bash",
            "#SBATCH --job-name=polyscan",
            f"#SBATCH --nodes={nodes}",
            "#SBATCH --ntasks-per-node=1",
            f"#SBATCH --gpus-per-node={processes}",
            f"#SBATCH --cpus-per-task={CORES * processes}",
            f"#SBATCH --chdir={shlex.quote(str(Path.cwd()))}",
            f"#SBATCH --output={shlex.quote(str(owned.path / LOGS))}/%j.txt",
            "#SBATCH --requeue",
            "# Add what your cluster wants, such as a partition, memory or time; without GPUs take that line away.",
            "# A job that is queued again, or submitted again, goes on where it was cut short.",
            "export OMP_NUM_THREADS=1",
            'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
            'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "port=$((20000 + SLURM_JOB_ID % 40000))",
            f'srun --kill-on-bad-exit=1 {torchrun} --nnodes="$SLURM_JOB_NUM_NODES" --nproc_per_node={processes} \\',
            '    --rdzv_backend=c10d --rdzv_id="$SLURM_JOB_ID" --rdzv_endpoint="$first:$port" \\',
            f"    -m polyscan {shlex.join(words)}",
        ],
    )
