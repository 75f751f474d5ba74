"""Any number of studies from folder to answer, by any number of processes and machines.

Each name is imported when it is first used, so that to ask where a batch stands is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscan.batch.folder import write_cohort
    from polyscan.batch.one_study import Batch, run_study
    from polyscan.batch.run import batch
    from polyscan.batch.status import batch_status
    from polyscan.batch.watching import watch

_HOMES = {
    "Batch": "one_study",
    "batch": "run",
    "batch_status": "status",
    "run_study": "one_study",
    "watch": "watching",
    "write_cohort": "folder",
}

__all__ = ["Batch", "batch", "batch_status", "run_study", "watch", "write_cohort"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyscan.batch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"polyscan.batch.{_HOMES[name]}"), name)
