"""How many threads compute at once, so that they do not wait for each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_cores() -> int:
    """Cores that this process may use and that nothing uses now; at least one.

    The least of what its affinity and its control group allow, less the machine's load of the last minute.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        quota, period = limit.read_text().split()
        if quota != "max":
            allowed = min(allowed, max(1, round(int(quota) / int(period))))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(allowed, round((os.cpu_count() or 1) - load)))


def share_cores() -> None:
    """Let OpenMP's threads be as many as there are free cores, and sleep while they wait.

    Threads that spin on a busy machine keep each other from working. To be called before torch or numpy is imported;
    what ``OMP_NUM_THREADS`` and ``OMP_WAIT_POLICY`` say already is left as it is.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(free_cores()))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """For thousands of small operations, whose threads would wait for each other for minutes on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
