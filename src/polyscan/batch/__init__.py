"""Any number of studies from folder to answer, by any number of processes and machines.

Each name is imported when it is first used, so that to ask where a batch stands is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polyscan import lazy

if TYPE_CHECKING:
    from polyscan.batch.folder import write_cohort
    from polyscan.batch.one_study import Batch, run_study
    from polyscan.batch.run import batch
    from polyscan.batch.status import batch_status
    from polyscan.batch.watching import watch

__all__ = ["Batch", "batch", "batch_status", "run_study", "watch", "write_cohort"]

__getattr__ = lazy.getattr_of(
    __name__,
    {
        "folder": ("write_cohort",),
        "one_study": ("Batch", "run_study"),
        "run": ("batch",),
        "status": ("batch_status",),
        "watching": ("watch",),
    },
)
