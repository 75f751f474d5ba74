"""Any number of studies from folder to answer, by any number of processes and machines."""

from polyscan.batch.folder import batch_status, write_cohort
from polyscan.batch.one_study import Batch, run_study
from polyscan.batch.run import batch
from polyscan.batch.watch import watch

__all__ = ["Batch", "batch", "batch_status", "run_study", "watch", "write_cohort"]
