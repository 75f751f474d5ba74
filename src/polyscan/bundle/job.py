"""Scripts that submit one training to a cluster's scheduler, on several machines at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from polyscan.bundle.run_folder import JOB, LOGS
from polyscan.files.owned import replace_owned
from polyscan.study.manifest import read_manifest
from polyscan.study.outputs import OutputFolder, sources_of

CORES = 4
"""That are asked for a process: one computes or feeds a GPU, others load."""


def slurm_job(nodes: int, processes: int, words: Sequence[str], logs: Path) -> str:
    """A script for ``sbatch`` that trains on several machines by torchrun.

    Args:
        nodes: how many machines.
        processes: on each; each has a GPU of its own.
        words: of ``polyscan train``.
        logs: folder of what the job says; SLURM wants it to be there.
    """
    torchrun = shlex.join([sys.executable, "-m", "torch.distributed.run"])
    return "\n".join(
        [
            "#!/bin/bash",
            "#SBATCH --job-name=polyscan",
            f"#SBATCH --nodes={nodes}",
            "#SBATCH --ntasks-per-node=1",
            f"#SBATCH --gpus-per-node={processes}",
            f"#SBATCH --cpus-per-task={CORES * processes}",
            f"#SBATCH --chdir={Path.cwd()}",
            f"#SBATCH --output={logs}/%j.txt",
            "# Add what your cluster wants, such as a partition, memory or time; without GPUs take that line away.",
            "# To go on where the job was cut short, submit it again.",
            "export OMP_NUM_THREADS=1",
            'export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
            'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "port=$((20000 + SLURM_JOB_ID % 40000))",
            f'srun --kill-on-bad-exit=1 {torchrun} --nnodes="$SLURM_JOB_NUM_NODES" --nproc_per_node={processes} \\',
            '    --rdzv_backend=c10d --rdzv_id="$SLURM_JOB_ID" --rdzv_endpoint="$first:$port" \\',
            f"    -m polyscan train {shlex.join(words)}",
            "",
        ]
    )


def write_slurm_job(
    manifest: Path, output: Path, nodes: int, processes: int, words: Sequence[str], *, folds: bool = False
) -> Path:
    """Write ``job.sh`` into the folder of a training that is to be; see :func:`slurm_job`.

    Args:
        manifest: that is trained on.
        output: the folder of the run, or of its folds.
        nodes: how many machines.
        processes: on each.
        words: of ``polyscan train``.
        folds: whether a network a fold is trained.

    Raises:
        PolyscanError: the folder or the manifest cannot be used.
    """
    found = read_manifest(manifest)
    command = "train --folds" if folds else "train"
    owned = OutputFolder.claim(output, command, sources_of(found.studies), found.scanned)
    owned.will_hold([JOB, LOGS])
    (owned.path / LOGS).mkdir(exist_ok=True)
    with replace_owned(owned.path, group=JOB) as folder:
        (folder / JOB).write_text(slurm_job(nodes, processes, words, owned.path / LOGS))
        (folder / JOB).chmod(0o755)
    return owned.path / JOB
